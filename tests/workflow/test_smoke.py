"""`<exp>~smoke`: every published recipe's whole graph runs here, on generated data with its format's keys."""

import json
import shutil
from pathlib import Path

import pytest
from typed_project import ROOT

pytestmark = pytest.mark.slow

FORMATS = sorted(path.stem for path in Path(ROOT / "config/formats").glob("pi0*.yaml"))
OTHERS = ["pi0_libero_lora", "pi05_libero_fewshot", "quickstart_lora", "quickstart_lora_zero_shot"]
SIMULATED = ["pi0_metaworld", "pi05_metaworld", *OTHERS[2:]]
FEW = ["pi0_aloha_robotwin", "pi05_metaworld"]


@pytest.mark.parametrize("names", [FEW, pytest.param(FORMATS + OTHERS, marks=pytest.mark.long)], ids=["few", "every"])
def test_recipes_run_tiny_from_their_datasets_to_their_evaluations(bare_project, names):
    assert len(FORMATS) >= 9
    targets = [f"results/{name}~smoke/eval.json" for name in names]
    assert bare_project.snakemake("-c2", *targets).returncode == 0

    for name in names:
        run = bare_project.root / f"results/{name}~smoke"
        evaluation = json.loads((run / "eval.json").read_text())
        assert evaluation["open_loop"]["flow_loss"] > 0
        assert (evaluation["closed_loop"] is not None) == (name in SIMULATED)
        config = json.loads((run / "config.json").read_text())
        whole = json.loads(bare_project.python("-c", RESOLVE, name).stdout)
        for kept in ("format", "recipe", "finetune"):
            assert config[kept] == whole[kept]
        assert config["datasets"][0]["episodes_per_task"] == whole["datasets"][0]["episodes_per_task"]
        for kept in ("peak_lr", "ema", "augment", "precision", "weight_decay"):
            assert config["train"][kept] == whole["train"][kept]
        for camera in set(config["format"]["cameras"].values()):
            assert (bare_project.root / f"data/{config['datasets'][0]['name']}/frames/{camera}.32/index.json").is_file()
    assert bare_project.plan(targets[0]) == set()
    shutil.rmtree(bare_project.root / f"data/{names[0]}~smoke/frames")
    assert bare_project.plan(targets[0]) == set(), "a frame store is how, not what"


RESOLVE = """
import sys
from pisft.config import resolve
print(resolve(sys.argv[1]).model_dump_json(by_alias=True))
"""


@pytest.mark.long
def test_two_trainings_do_not_share_the_gpu_though_there_are_cores_for_both(bare_project):
    targets = [f"results/{name}~smoke/checkpoint.json" for name in ("pi0_libero", "pi05_libero")]
    few = [f"{rule}=1" for rule in ("make_dataset", "make_frames", "norm_stats", "train")]
    log = bare_project.snakemake("-c8", *targets, "--set-threads", *few).stderr
    events = [
        event
        for line in log.splitlines()
        for event, sign in (("start", "localrule train:"), ("end", "(Rule: train)"))
        if line.endswith(sign)
    ]
    assert events == ["start", "end", "start", "end"]
