"""Products of matrices that come out the same on processors of Intel and AMD. Start from `replace`.

torch multiplies fp32 matrices on a CPU by MKL, whose fast code differs between vendors. oneDNN, which torch has for
convolutions, has code for an instruction set instead, as fast as MKL's for the same one.
"""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch import Tensor

_linear = torch.ops.mkldnn._linear_pointwise.default


@cache
def replace() -> torch.library.Library:
    """Let oneDNN multiply fp32 matrices on a CPU from now on; the replacement lasts as long as what is returned."""
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # that this replaces something
        library.impl("mm", _mm, "CPU")
        library.impl("addmm", _addmm, "CPU")
    return library


def _mm(a: Tensor, b: Tensor) -> Tensor:
    if not _suitable(a, b):
        return torch.mm(a, b, out=a.new_empty(len(a), b.shape[1]))
    if not a.is_contiguous() and a.numel() > b.numel():
        # oneDNN wants its first matrix by rows; of a gradient's two, the smaller is copied
        return _product(b.t(), a.t()).t().contiguous()
    return _product(a, b)


def _addmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    if not _suitable(bias, a, b):
        return torch.addmm(bias, a, b, beta=beta, alpha=alpha, out=a.new_empty(len(a), b.shape[1]))
    if bias.dim() == 1 and beta == alpha == 1:
        return _product(a, b, bias)
    out = _mm(a, b) * alpha
    return out + beta * bias if beta else out


def _suitable(*tensors: Tensor) -> bool:
    return all(tensor.dtype is torch.float32 and tensor.numel() for tensor in tensors)


def _product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    if not (b.is_contiguous() or b.t().is_contiguous()):
        b = b.contiguous()  # a part of a matrix would be multiplied by a loop
    return _linear(a, b.t(), bias, "none", [], "")
