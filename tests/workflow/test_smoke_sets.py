"""A paper and a sweep, made tiny: what several experiments come to is a table, from generated data."""

import csv

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.long]


def test_a_paper_and_a_sweep_run_tiny(bare_project):
    sweep = bare_project.root / "config/experiments/swept.yaml"
    sweep.write_text("extends: quickstart\nsweep: {train.peak_lr: [1.0e-3, 5.0e-4], seed: [0, 1]}\n")
    targets = ["results/sweeps/swept~smoke/table.csv", "results/papers/libero_openpi~smoke/table.csv"]
    bare_project.snakemake(*targets)
    with (bare_project.root / targets[0]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["train.peak_lr"], row["runs"], row["episodes"]) for row in rows] == [
        ("0.001", "2", "4"),
        ("0.0005", "2", "4"),
    ]
    with (bare_project.root / targets[1]).open(newline="") as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file)}
    assert len(rows) == 4 and all(float(row["ours"]) > 0 for row in rows.values())
    assert bare_project.plan(targets[0]) == bare_project.plan(targets[1]) == set()
