"""The benchmark for GPUs runs: where there is a card, its time is short."""

import subprocess
import sys

import pytest
from typed_project import ROOT

PARTS = ["full", "chunk", "adapters", "memory", "kernels", "eager"]  # `theirs` takes lerobot's model


def bench_gpu(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "benchmarks/bench_gpu.py", "--tiny", "--repeats=1", *args]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.long
def test_every_part_runs_on_a_small_model():
    done = bench_gpu(*PARTS)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line in PARTS] == PARTS
    assert "failed" not in done.stdout and "not finished" not in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("samples/s") == 11 and done.stdout.count(" ms, p99") == 6


def test_a_part_that_takes_too_long_does_not_lose_the_others():
    done = bench_gpu("--minutes=0.01", "full", "chunk")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("not finished in the time given") == 2
