"""Prepares samples for training: frame stores, preprocessing, sampling. Start from `training_set.TrainingSet`."""
