"""Chooses the compute device, and the settings under which the same program gives the same numbers."""

from __future__ import annotations

import contextlib
import ctypes
import os

import torch


def configure(threads: int | None = None, deterministic: bool = False) -> torch.device:
    """Return the GPU if there is one (and PISFT_DEVICE is not `cpu`), else the CPU with `threads`.

    Sums of floats depend on the number of threads, so whatever makes an artefact fixes it: results are then the same on
    machines with different numbers of cores. It takes precedence over OMP_NUM_THREADS, which Snakemake sets to the
    threads of a rule; without either, all cores are used. A CPU is always deterministic; a GPU if `deterministic`, at a
    cost.
    """
    gpu = torch.cuda.is_available() and os.environ.get("PISFT_DEVICE") != "cpu"
    if not gpu and (threads or "OMP_NUM_THREADS" not in os.environ):
        torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    if deterministic or not gpu:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required by cuBLAS, before its first call
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue] a property
    if not gpu:
        _keep_freed_memory()
    return torch.device("cuda" if gpu else "cpu")


def _keep_freed_memory() -> None:
    """Let glibc reuse the memory of freed tensors.

    By default it returns each large block to the system, so that activations cost page faults in every step: a quarter
    of a training step.
    """
    trim_threshold, mmap_max = -1, -4  # of malloc.h
    with contextlib.suppress(AttributeError, OSError):  # not glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
