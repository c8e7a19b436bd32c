"""Imports RLinf's configurations of supervised fine-tuning as experiments. Start from `experiment.translate`."""
