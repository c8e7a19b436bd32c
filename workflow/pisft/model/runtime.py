"""The device to compute on, and the settings under which the same program gives the same numbers."""

from __future__ import annotations

import contextlib
import ctypes
import os

import torch


def configure(threads: int | None = None, deterministic: bool = False) -> torch.device:
    """The GPU if there is one (and PISFT_DEVICE is not `cpu`), else the CPU with `threads`.

    Sums of floats depend on the number of threads, so whatever makes an artefact gives a fixed one: results are then
    the same on machines that differ in their cores. It takes precedence over OMP_NUM_THREADS, which Snakemake sets to
    the threads of a rule, and which counts by default, or all cores. A CPU is always deterministic; a GPU where
    `deterministic` asks for it, at a cost.
    """
    gpu = torch.cuda.is_available() and os.environ.get("PISFT_DEVICE") != "cpu"
    if not gpu and (threads or "OMP_NUM_THREADS" not in os.environ):
        torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    if deterministic or not gpu:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for, before its first call
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue] a property
    if not gpu:
        _keep_freed_memory()
    return torch.device("cuda" if gpu else "cpu")


def _keep_freed_memory() -> None:
    """Let glibc reuse what tensors free. By default it returns each large block to the system, and every activation
    of every step is paid for anew in page faults: a quarter of a training step."""
    trim_threshold, mmap_max = -1, -4  # of malloc.h
    with contextlib.suppress(AttributeError, OSError):  # another libc
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
