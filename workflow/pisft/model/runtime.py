"""The device to compute on, and the settings under which the same program gives the same numbers."""

from __future__ import annotations

import os

import torch


def configure(threads: int | None = None) -> torch.device:
    """The GPU if there is one, else the CPU with `threads`; by default OMP_NUM_THREADS, or all cores it may use.

    Sums of floats depend on the number of threads, so a fixed one makes results the same on machines that differ in
    their cores; it takes precedence over OMP_NUM_THREADS, which Snakemake sets to the threads of a rule.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    if threads or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    return torch.device("cpu")
