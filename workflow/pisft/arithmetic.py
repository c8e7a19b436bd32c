"""One arithmetic for every x86-64 processor with AVX2, so that a result depends on none. Start from `settle`.

The libraries that compute choose their code by the processor that they find, and round differently then. `portable`
has all of them use what every such processor has; `native` leaves them as they are.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Literal

Arithmetic = Literal["portable", "native", "gpu"]

SWITCH = "PISFT_ARITHMETIC"  # native: faster on a newer processor, and the same bits only on processors of its kind
NEEDS = {"avx2", "fma"}
PORTABLE = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's loops
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # torch's convolutions, and its products of matrices: see pisft.model.products
    "MKL_CBWR": "COMPATIBLE",  # everything else in torch: MKL's other modes choose by vendor
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL",  # numpy's loops
    "OPENBLAS_CORETYPE": "Haswell",  # numpy's and scipy's products
    "OPENBLAS_NUM_THREADS": "1",  # which split the sums of those
    "LP_NATIVE_VECTOR_WIDTH": "256",  # Mesa's drawing on a CPU
}
READ_BY = ("torch", "numpy")  # on import


def settle() -> None:
    """Choose the arithmetic of this process and of those that it starts; before `READ_BY` are imported.

    Ends the process with a message if `SWITCH` has another value than portable or native.
    """
    wanted = os.environ.get(SWITCH, "portable")
    if wanted not in ("portable", "native"):
        sys.exit(f"{SWITCH}: found {wanted!r}; expected portable (the default) or native")
    if wanted == "native" or not _capable():
        return
    if not _portable() and not any(name in sys.modules for name in READ_BY):
        os.environ.update(PORTABLE)


def arithmetic() -> Arithmetic:
    """What this process has computed with so far: `gpu` if a GPU did any of it."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_initialized():
        return "gpu"
    return on_cpu()


def on_cpu() -> Literal["portable", "native"]:
    """What this process computes with on a CPU."""
    return "portable" if _portable() and _capable() else "native"


def _portable() -> bool:
    return PORTABLE.items() <= os.environ.items()


def _capable() -> bool:
    if platform.machine() != "x86_64":
        return False
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return set(flags.split()) >= NEEDS
