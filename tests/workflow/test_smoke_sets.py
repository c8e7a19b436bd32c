"""A paper, a sweep and a diff, made tiny: what several experiments come to, from generated data."""

import csv
import json

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.long]


def test_a_paper_and_a_sweep_run_tiny(bare_project):
    sweep = bare_project.root / "config/experiments/swept.yaml"
    sweep.write_text("extends: quickstart\nsweep: {train.peak_lr: [1.0e-3, 5.0e-4], seed: [0, 1]}\n")
    targets = ["results/sweeps/swept~smoke/table.csv", "results/papers/libero_openpi~smoke/table.csv"]
    one, other = "swept~peak_lr=0.001~seed=0~smoke", "pi0_libero~smoke"
    diff = f"results/diff/{one}..{other}"
    bare_project.snakemake(*targets, f"{diff}/diff.html")
    with (bare_project.root / targets[0]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["train.peak_lr"], row["runs"], row["episodes"]) for row in rows] == [
        ("0.001", "2", "4"),
        ("0.0005", "2", "4"),
    ]
    with (bare_project.root / targets[1]).open(newline="") as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file)}
    assert len(rows) == 4 and all(float(row["ours"]) > 0 for row in rows.values())

    content = json.loads((bare_project.root / diff / "diff.json").read_text())
    assert {"key": "train.peak_lr", "a": 0.001, "b": 2.5e-5} in content["config"] and not content["weights"]["same"]
    assert content["parts"] == [{"key": "eval.json: closed_loop", "a": "there", "b": None}]
    assert json.loads((bare_project.root / diff / "provenance.json").read_text())["parents"].keys() == {
        f"results/{exp}/{file}.json" for exp in (one, other) for file in ("config", "norm_stats", "checkpoint", "eval")
    }
    assert (bare_project.root / diff / "diff.html").is_file()

    assert bare_project.plan(*targets, f"{diff}/diff.html") == set()
    bare_project.edit("config/experiments/pi0_libero.yaml", "augment: true", "augment: true, weight_decay: 0.5")
    assert bare_project.plan(f"{diff}/diff.json") == {"resolve", "train", "evaluate", "diff"}
