"""Reproducible fine-tuning of π₀ and π₀.₅."""

import os

from pisft import arithmetic

arithmetic.settle()

# Idle threads spin for this many rounds before they sleep. GNU OpenMP, which torch uses, spins for milliseconds by
# default: two processes on the same cores then slow each other down fiftyfold. It is read when torch is imported, and
# does not affect results.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
