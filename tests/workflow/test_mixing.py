"""Two datasets of different tasks train one policy, with weights, chosen and held-out episodes."""

import json

import pytest
from lerobot_data import make_lerobot_dataset
from pisft.config import read_resolved
from pisft.train.step.corpus import load
from typed_project import Project

pytestmark = pytest.mark.slow
EXPERIMENT = """
extends: quickstart
datasets:
  - {name: mine, weight: 2.0, episodes: ["0-2", "4"]}
  - {name: theirs}
split: {heldout_fraction: 0.25}
train: {steps: 3, global_batch_size: 4, warmup_steps: 1}
eval: {closed_loop: null}
"""


@pytest.fixture
def mixed(bare_project) -> Project:
    root = bare_project.root
    for name, changes in {
        "mine": {},
        "theirs": {"episodes": (11, 14, 12, 16), "video": False, "tasks": ("open the window",), "seed": 1},
    }.items():
        make_lerobot_dataset(root / f"recorded/{name}", **changes)
        (root / f"config/datasets/{name}.yaml").write_text(f"{{source: local, path: recorded/{name}}}")
    (root / "config/experiments/mixed.yaml").write_text(EXPERIMENT)
    return bare_project


def test_two_datasets_train_one_policy(mixed):
    mixed.snakemake("results/mixed/eval.json")
    run_dir = mixed.root / "results/mixed"
    assert json.loads((run_dir / "eval.json").read_text())["open_loop"]["flow_loss"] > 0

    config = read_resolved(run_dir / "config.json")
    corpus = load(config, run_dir, mixed.root / "data")
    chosen = {name: [e for n, e, _ in corpus.episodes if n == name] for name in ("mine", "theirs")}
    assert [len(e) for e in chosen.values()] == [3, 3] and 3 not in chosen["mine"]
    assert corpus.weights == [2.0, 1.0]
    seen = {corpus.training.task(i) for i in range(len(corpus.training))}
    assert "open the window" in seen and "press the button" in seen
    first = corpus.training.sizes[0]
    assert corpus.training.task(first - 1) != corpus.training.task(first) == "open the window"
    assert all(size > 0 for size in corpus.heldout.sizes), "both are validated on"
    assert mixed.plan("results/mixed/eval.json") == set()


def test_datasets_of_two_frame_rates_are_refused_before_anything_is_computed(mixed):
    make_lerobot_dataset(mixed.root / "recorded/slow", episodes=(12, 12), video=False, fps=20)
    (mixed.root / "config/datasets/theirs.yaml").write_text("{source: local, path: recorded/slow}")
    mixed.edit("config/formats/metaworld_quickstart.yaml", "fps: 80", "fps: null")
    for dataset in ("mine", "theirs"):
        mixed.python("scripts/make_dataset.py", dataset)
    mixed.python("scripts/resolve.py", "mixed")
    done = mixed.python("scripts/norm_stats.py", "results/mixed/config.json", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "theirs/lerobot 20: a chunk of" in done.stderr
    assert not (mixed.root / "results/mixed/norm_stats.json").exists()
