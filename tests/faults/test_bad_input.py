"""Bad input gives one clear message and a non-zero exit, and what was built is kept. Typed as a person would."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DATASET = """
source: local
path: lerobot_dataset
"""
EXPERIMENT = """
extends: quickstart
datasets: [{name: mine}]
split: {heldout_fraction: 0.3}
train: {steps: 2, global_batch_size: 2, warmup_steps: 1}
eval: {closed_loop: null}
"""


class Project:
    def __init__(self, root: Path):
        self.root = root

    def type(self, command: str) -> subprocess.CompletedProcess:
        """Run a shell command in the project."""
        command = command.replace("python ", f"{sys.executable} ")
        return subprocess.run(["bash", "-c", command], cwd=self.root, capture_output=True, text=True)

    def refuse(self, command: str, *words: str) -> None:
        """The command fails with one message that holds `words`, and leaves what was built as it was."""
        before = self.built()
        result = self.type(command)
        assert result.returncode == 1, result.stdout + result.stderr
        assert "Traceback" not in result.stderr, result.stderr
        message = result.stderr[result.stderr.index("error: ") :]
        assert message.count("error: ") == 1 and len(message.strip().splitlines()) == 1, message
        for word in words:
            assert word in message, message
        assert self.built() == before

    def built(self) -> dict[str, str]:
        files = [p for folder in ("data", "results") for p in (self.root / folder).rglob("*.json")]
        ours = [p for p in files if "provenance" not in str(p)]
        return {str(p.relative_to(self.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in ours}

    def edit(self, name: str, **changes) -> None:
        file = self.root / name
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))


NORM_STATS = "python scripts/norm_stats.py results/mine/config.json"
TRAIN = "python scripts/train.py results/mine/config.json"
RESOLVE = "python scripts/resolve.py mine"


@pytest.fixture
def project(tmp_path, video_dataset) -> Project:
    """An experiment on a local dataset, built up to its statistics."""
    for name in ("config", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copytree(video_dataset, tmp_path / "lerobot_dataset")
    (tmp_path / "config/datasets/mine.yaml").write_text(DATASET)
    (tmp_path / "config/experiments/mine.yaml").write_text(EXPERIMENT)
    project = Project(tmp_path)
    done = project.type(f"{RESOLVE} && python scripts/make_dataset.py mine && {NORM_STATS}")
    assert done.returncode == 0, done.stderr
    return project


def column(project: Project, key: str, frame: int, value: float) -> None:
    """Set all of `key` at `frame` of the dataset to `value`."""
    path = next((project.root / "lerobot_dataset/data").rglob("*.parquet"))
    table = pq.read_table(path)
    values = np.array(table[key].to_pylist(), np.float32)
    values[frame] = value
    kind = table.schema.field(key).type
    table = table.set_column(
        table.schema.get_field_index(key), table.schema.field(key), pa.array(values.tolist(), kind)
    )
    pq.write_table(table, path)


def test_a_folder_that_is_no_dataset(project):
    (project.root / "elsewhere").mkdir()
    project.edit("config/datasets/mine.yaml", path="elsewhere")
    project.refuse("python scripts/make_dataset.py mine", "meta/info.json", "LeRobot")


def test_a_folder_that_is_not_there(project):
    project.edit("config/datasets/mine.yaml", path="elsewhere")
    project.refuse("python scripts/make_dataset.py mine", "elsewhere", "is not a folder")


def test_a_truncated_parquet(project):
    path = next((project.root / "lerobot_dataset/data").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])
    project.refuse(NORM_STATS, path.name, "truncated")


def test_a_truncated_video(project):
    path = next((project.root / "lerobot_dataset/videos").rglob("*.mp4"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    project.refuse(NORM_STATS, path.name)


@pytest.mark.parametrize("key", ["observation.state", "action"])
def test_a_nan(project, key):
    column(project, key, 3, float("nan"))
    project.refuse(NORM_STATS, key, "nan", "episode 0", "frame 3")


def test_a_format_that_names_a_missing_key(project):
    project.edit("config/formats/metaworld_quickstart.yaml", state="observation.stat")
    assert project.type(RESOLVE).returncode == 0
    project.refuse(NORM_STATS, "observation.stat", "did you mean 'observation.state'?")


def test_no_episode_to_validate_on(project):
    project.edit("config/experiments/mine.yaml", split={"heldout_fraction": 0.0})
    assert project.type(f"{RESOLVE} && {NORM_STATS}").returncode == 0
    project.refuse(TRAIN, "split.heldout_fraction", "expected more than 0")


def test_a_full_disk(project):
    """No file may grow beyond nothing, which is what a full disk comes to."""
    project.refuse(f"ulimit -f 0; {NORM_STATS}", "no space left", "run the same command again")


def test_a_stage_whose_ingredients_are_missing(project):
    (project.root / "results/mine/norm_stats.json").unlink()
    shutil.rmtree(project.root / "results/mine/provenance")
    project.refuse(TRAIN, "snakemake results/mine/norm_stats.json")


def test_an_experiment_that_was_not_resolved(project):
    project.refuse("python scripts/train.py results/other/config.json", "is missing", "scripts/resolve.py other")
    project.refuse("python scripts/train.py config/experiments/mine.yaml", "expected results/<exp>/config.json")


def test_a_hub_dataset_without_the_hub(project):
    project.edit("config/datasets/mine.yaml", source="hub", repo="nobody/nothing", revision="main")
    text = (project.root / "config/datasets/mine.yaml").read_text().replace("path: lerobot_dataset\n", "")
    (project.root / "config/datasets/mine.yaml").write_text(text)
    (project.root / "data/mine/lerobot").unlink()
    project.refuse("HF_HUB_OFFLINE=1 python scripts/make_dataset.py mine", "nobody/nothing", "HF_ENDPOINT")
