"""Products by oneDNN are those that torch promises: for every layout, size and dtype, and their gradients."""

import itertools
import subprocess
import sys

import pytest
import torch
from pisft.arithmetic import PORTABLE, arithmetic
from pisft.model import products

LAYOUTS = ("rows", "columns", "part of rows", "part of columns", "every second column")


def laid_out(rows: int, columns: int, layout: str, dtype: torch.dtype) -> torch.Tensor:
    if layout == "columns":
        return torch.randn(columns, rows).to(dtype).t()
    if layout == "part of rows":
        return torch.randn(rows, columns + 3).to(dtype)[:, :columns]
    if layout == "part of columns":
        return torch.randn(columns, rows + 3).to(dtype).t()[:rows]
    if layout == "every second column":
        return torch.randn(rows, 2 * columns).to(dtype)[:, ::2]
    return torch.randn(rows, columns).to(dtype)


def test_this_process_computes_portably_and_by_onednn():
    assert arithmetic() == "portable"
    assert torch.backends.cpu.get_cpu_capability() == "AVX2"
    with torch.profiler.profile() as profiler:
        torch.randn(3, 4) @ torch.randn(4, 5)
    assert "mkldnn::_linear_pointwise" in {event.key for event in profiler.key_averages()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_product_is_that_of_doubles(layout, dtype):
    torch.manual_seed(0)
    tolerance = {"atol": 0.5, "rtol": 0.05} if dtype is torch.bfloat16 else {"atol": 1e-3, "rtol": 1e-4}
    for rows, inner, columns in itertools.product((0, 1, 3, 64), (0, 1, 5, 128), (0, 1, 7, 96)):
        a, bias = laid_out(rows, inner, layout, dtype), torch.randn(columns).to(dtype)
        for other in LAYOUTS:
            b = laid_out(inner, columns, other, dtype)
            exact = a.double() @ b.double()
            assert torch.mm(a, b).dtype is dtype and torch.mm(a, b).is_contiguous()
            torch.testing.assert_close(torch.mm(a, b).double(), exact, **tolerance)
            sums = {(1, 1): bias + exact, (0.5, 2): 0.5 * bias.double() + 2 * exact, (0, 1): exact}
            for (beta, alpha), expected in sums.items():
                found = torch.addmm(bias, a, b, beta=beta, alpha=alpha)
                torch.testing.assert_close(found.double(), expected.double(), **tolerance)


def test_a_bias_of_rows_and_columns_is_added():
    torch.manual_seed(0)
    a, b, bias = torch.randn(4, 3), torch.randn(3, 5), torch.randn(4, 1)
    torch.testing.assert_close(torch.addmm(bias, a, b), bias + (a.double() @ b.double()).float())


def test_beta_of_zero_ignores_what_the_bias_holds():
    nan = torch.full((5,), torch.nan)
    assert torch.addmm(nan, torch.ones(2, 3), torch.ones(3, 5), beta=0).isfinite().all()


def test_gradients_are_those_of_doubles():
    torch.manual_seed(0)
    x, weight, bias = torch.randn(9, 50, 64), torch.randn(200, 64), torch.randn(200)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        leaves = [tensor.detach().to(dtype).requires_grad_() for tensor in (x, weight, bias)]
        torch.nn.functional.linear(*leaves).sin().sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for one, exact in zip(*gradients, strict=True):
        assert one.is_contiguous()
        torch.testing.assert_close(one.double(), exact, atol=1e-3, rtol=1e-3)


def told(code: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": "", "PYTHONPATH": ":".join(path for path in sys.path if path), **environment},
        capture_output=True,
        text=True,
    )


TELL = "from pisft.arithmetic import arithmetic; print(arithmetic())"


@pytest.mark.parametrize(
    ("before", "environment", "expected"),
    [
        ("import pisft", {}, "portable"),
        ("import pisft", {"PISFT_ARITHMETIC": "native"}, "native"),
        ("import pisft", {"MKL_CBWR": "AVX512", "OPENBLAS_NUM_THREADS": "7"}, "portable"),
        ("import numpy", {}, "native"),  # which has chosen by then
        ("import numpy", PORTABLE, "portable"),
    ],
)
def test_what_is_told_is_what_is_computed_with(before, environment, expected):
    assert told(f"{before}; {TELL}", **environment).stdout.strip() == expected


def test_a_switch_with_another_value_is_refused():
    found = told(TELL, PISFT_ARITHMETIC="fast")
    assert found.returncode == 1
    assert found.stderr.strip() == ("PISFT_ARITHMETIC: found 'fast'; expected portable (the default) or native")


def test_to_replace_twice_is_to_replace_once():
    assert products.replace() is products.replace()
