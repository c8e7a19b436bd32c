"""torch.compile, layer by layer: layers of a kind share what is compiled for the first. Start from `compile_blocks`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import torch

from pisft.arithmetic import on_cpu
from pisft.model.pi0 import Pi0

# of one method: training, validation and sampling are versions of their own, and so are the last layer, the first two
# numbers of samples, and those of prompt tokens
VERSIONS = 64


KEPT = ".snakemake/pisft/compiled"  # below the project's folder: what was compiled, for later runs


def wanted(choice: bool | None, device: torch.device, lead: bool = True) -> bool:
    """Whether to compile: as chosen, else on a GPU where it is possible. The leading process says where it is not."""
    if choice is not None or device.type != "cuda":
        return bool(choice)
    lacking = _lacking()
    if lacking and lead:
        print(f"layers are not compiled, and slower for it: {lacking}", file=sys.stderr)
    return not lacking


def keep_in(root: Path) -> None:
    """Keep what is compiled below the project's folder `root`, unless TORCHINDUCTOR_CACHE_DIR names another place."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(root.absolute() / KEPT))


def compile_blocks(model: Pi0) -> None:
    """Compile every layer of the vision tower, and what every joint layer does in training and in sampling.

    Methods are replaced, not modules: parameters keep their names, and FSDP's hooks stay outside.
    """
    from torch._dynamo import config as tracing
    from torch._inductor import config as kernels

    # Both are part of the compile cache's key then. Else kernels that another process compiled for more threads would
    # be reused, and wait for threads that are not there, or those it wrote for wider vectors, and write past their end.
    kernels.cpp.threads = torch.get_num_threads()
    if on_cpu() == "portable":
        kernels.cpp.simdlen = 256
    tracing.recompile_limit = VERSIONS  # beyond, a version would silently not be compiled
    for layer in model.vision.layers:
        layer.forward = torch.compile(layer.forward)
    for block in model.layers:
        for method in ("forward", "encode", "decode"):
            setattr(block, method, torch.compile(getattr(block, method)))


def _lacking() -> str:
    from torch.utils._triton import has_triton

    if not has_triton():
        return "Triton does not work with this GPU or this installation"
    if not any(shutil.which(name) for name in (os.environ.get("CC", ""), "cc", "gcc", "clang") if name):
        return "found no C compiler on PATH (CC, cc, gcc or clang); install gcc"
    return ""
