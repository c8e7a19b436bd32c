"""Trains as a SLURM job. Start from `pisft.cluster.launch`."""
