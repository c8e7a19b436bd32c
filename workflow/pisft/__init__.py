"""Reproducible fine-tuning of π₀ and π₀.₅."""

import os

# Threads that have nothing to do wait in a loop first, and go to sleep after so many rounds. GNU's OpenMP, which torch
# computes with, waits for milliseconds: two processes on the same cores then hinder each other by a factor of fifty.
# It is read when torch is imported, and no part of what is computed.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
