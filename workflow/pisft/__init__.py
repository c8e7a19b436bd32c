"""Reproducible fine-tuning of π₀ and π₀.₅."""
