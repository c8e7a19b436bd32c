"""Bad input gives one clear message and a non-zero exit, and what was built is kept. Typed as a person would."""

import hashlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import warm
import yaml
from lerobot_data import make_lerobot_dataset

ROOT = Path(__file__).parents[2]
DATASET = """
source: local
path: lerobot_dataset
"""
EXPERIMENT = """
extends: quickstart
datasets: [{name: mine}]
split: {heldout_fraction: 0.3}
train: {steps: 2, global_batch_size: 2, warmup_steps: 1, threads: 1}
eval: {closed_loop: null}
"""


class Project:
    def __init__(self, root: Path):
        self.root = root

    def type(self, command: str) -> subprocess.CompletedProcess:
        """Run shell commands in the project, each if the one before it went well."""
        for part in command.split(" && "):
            words = shlex.split(part)
            if words[0] == "python":
                done = warm.run(words[1:], self.root)
            else:
                done = subprocess.run(
                    ["bash", "-c", part.replace("python ", f"{sys.executable} ")],
                    cwd=self.root,
                    capture_output=True,
                    text=True,
                )
            if done.returncode:
                break
        return done

    def accept_data(self) -> None:
        """The dataset as it is now becomes the recorded one."""
        done = self.type("python scripts/make_dataset.py mine")
        assert done.returncode == 0, done.stderr

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
        ours = [p for p in files if "provenance" not in str(p) and not p.name.startswith(".")]
        return {str(p.relative_to(self.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in ours}

    def edit(self, name: str, **changes) -> None:
        file = self.root / name
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))


NORM_STATS = "python scripts/norm_stats.py results/mine/config.json"
TRAIN = "python scripts/train.py results/mine/config.json"
RESOLVE = "python scripts/resolve.py mine"
FORMAT = "config/formats/metaworld_quickstart.yaml"
FEATURES = yaml.safe_load((ROOT / FORMAT).read_text())["features"]


@pytest.fixture(scope="module")
def built(tmp_path_factory, video_dataset) -> Path:
    """An experiment on a local dataset, built up to its statistics."""
    root = tmp_path_factory.mktemp("built") / "project"
    for name in ("config", "scripts"):
        shutil.copytree(ROOT / name, root / name)
    shutil.copytree(video_dataset, root / "lerobot_dataset")
    (root / "config/datasets/mine.yaml").write_text(DATASET)
    (root / "config/experiments/mine.yaml").write_text(EXPERIMENT)
    done = Project(root).type(f"{RESOLVE} && python scripts/make_dataset.py mine && {NORM_STATS}")
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def project(tmp_path, built) -> Project:
    """A copy of it, with the dataset linked to its own folder."""
    root = shutil.copytree(built, tmp_path / "project", symlinks=True)
    link = root / "data/mine/lerobot"
    link.unlink()
    link.symlink_to(root / "lerobot_dataset")
    return Project(root)


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
    project.accept_data()
    project.refuse(NORM_STATS, key, "nan", "episode 0", "frame 3")


def test_a_format_that_names_a_missing_key(project):
    project.edit("config/formats/metaworld_quickstart.yaml", state="observation.stat")
    project.refuse(RESOLVE, "features: has no 'observation.stat'", "did you mean 'observation.state'?")
    project.edit("config/formats/metaworld_quickstart.yaml", features={})
    assert project.type(RESOLVE).returncode == 0
    project.refuse(NORM_STATS, "observation.stat", "did you mean 'observation.state'?")


def numbers(project: Project, key: str, values) -> None:
    """Replace the numbers of `key`, one a frame."""
    path = next((project.root / "lerobot_dataset/data").rglob("*.parquet"))
    table = pq.read_table(path)
    old = table[key].to_numpy()
    place = table.schema.get_field_index(key)
    pq.write_table(table.set_column(place, key, pa.array(values(old), table.schema.field(key).type)), path)


def test_a_state_or_an_action_of_another_width_than_the_format_says(project):
    project.edit(FORMAT, features=FEATURES | {"action": {"shape": [7]}})
    assert project.type(RESOLVE).returncode == 0
    project.refuse(NORM_STATS, "'action' has 4 dims", "the format's features say 7")


def test_a_state_of_more_dims_than_the_model_takes(project):
    dataset = make_lerobot_dataset(project.root / "wide", vectors={"observation.state": 40, "action": 4})
    project.edit("config/datasets/mine.yaml", path=dataset.name)
    project.edit(FORMAT, features={})
    assert project.type(f"{RESOLVE} && python scripts/make_dataset.py mine").returncode == 0
    project.refuse(NORM_STATS, "meta/info.json", "state ('observation.state') has 40 dims", "is 32")
    project.edit(FORMAT, features=FEATURES | {"observation.state": {"shape": [40]}})
    project.refuse(RESOLVE, "config/experiments/mine.yaml", "state of 'metaworld_quickstart' has 40 dims")


def test_an_episode_that_is_shorter_than_the_horizon(project):
    project.edit(FORMAT, action_horizon=12)
    assert project.type(RESOLVE).returncode == 0
    project.refuse(
        NORM_STATS, "episode 1 has 10 frames", "action_horizon, 12", "short_episodes: repeat", '["0", "2-3"]'
    )
    project.edit(FORMAT, short_episodes="repeat")
    assert project.type(f"{RESOLVE} && {NORM_STATS}").returncode == 0
    project.edit(FORMAT, short_episodes="error")
    project.edit("config/experiments/mine.yaml", datasets=[{"name": "mine", "episodes": ["0", "2-3"]}])
    assert project.type(f"{RESOLVE} && {NORM_STATS}").returncode == 0


def test_a_frame_rate_that_is_not_the_formats(project):
    project.edit(FORMAT, fps=10)
    assert project.type(RESOLVE).returncode == 0
    project.refuse(NORM_STATS, "meta/info.json: fps is 80; the format is for 10")


def test_a_frame_rate_that_is_not_that_of_the_timestamps(project):
    info = project.root / "lerobot_dataset/meta/info.json"
    info.write_text(info.read_text().replace('"fps": 80', '"fps": 40'))
    project.edit(FORMAT, fps=None)
    assert project.type(RESOLVE).returncode == 0
    project.accept_data()
    project.refuse(NORM_STATS, "file-000.parquet: episode 0, frame 1: timestamp is 0.0125 s", "40 frames/s", "0.0250 s")


def test_a_video_of_another_frame_rate_than_its_dataset(project):
    fast = make_lerobot_dataset(project.root / "fast", fps=160)
    video = next((project.root / "lerobot_dataset/videos").rglob("*.mp4"))
    shutil.copy(next((fast / "videos").rglob("*.mp4")), video)
    project.accept_data()
    project.refuse(NORM_STATS, "'observation.image' of episode 0", video.name, "has 160 frames/s", "80")


@pytest.mark.parametrize(("values", "found"), [([1, 0], "out of order or there twice"), ([0, 0], "there twice")])
def test_frames_that_are_unsorted_or_there_twice(project, values, found):
    def change(old):
        new = old.copy()
        new[3:5] = np.array(values) + 3
        return new

    numbers(project, "frame_index", change)
    where = "frame 3: frame_index is 4" if values == [1, 0] else "frame 4: frame_index is 3"
    project.accept_data()
    project.refuse(NORM_STATS, "file-000.parquet: episode 0", where, "too early" if values == [1, 0] else found)


def test_a_video_with_fewer_frames_than_its_parquet(project):
    short = make_lerobot_dataset(project.root / "short", episodes=(12, 10, 13, 15, 8))
    video = next((project.root / "lerobot_dataset/videos").rglob("*.mp4"))
    shutil.copy(next((short / "videos").rglob("*.mp4")), video)
    project.accept_data()
    project.refuse(
        NORM_STATS, "'observation.image' of episode 4, frame 8", video.name, "fewer frames than its episodes"
    )


def test_a_video_with_an_unknown_codec(project):
    video = next((project.root / "lerobot_dataset/videos").rglob("*.mp4"))
    content = video.read_bytes()
    kind = next(kind for kind in (b"avc1", b"av01", b"hev1") if kind in content)
    video.write_bytes(content.replace(kind, b"zzz9"))
    project.accept_data()
    project.refuse(NORM_STATS, "'observation.image' of episode 0", video.name, "codec is unknown", "encode it again")


@pytest.mark.slow
def test_a_tokenizer_that_is_gated(project):
    project.edit("config/models/quickstart.yaml", tokenizer={"kind": "paligemma"})
    offline = "HF_HUB_OFFLINE=1 HF_HOME=empty"
    assert project.type(f"{RESOLVE} && {NORM_STATS}").returncode == 0
    project.refuse(f"{offline} {TRAIN}", "google/paligemma-3b-pt-224", "gated", "hf auth login", "tokenizer.path")


def test_an_instruction_that_is_too_long_is_told_before_training(project):
    project.edit("config/models/quickstart.yaml", max_token_len=10)
    assert project.type(f"{RESOLVE} && {NORM_STATS}").returncode == 0
    project.refuse(TRAIN, "'press the button' has 18 tokens; max_token_len is 10")


@pytest.mark.parametrize("command", [NORM_STATS, TRAIN], ids=["norm_stats", "train"])
def test_a_dataset_that_was_changed_since_it_was_recorded(project, command):
    path = next((project.root / "lerobot_dataset/data").rglob("*.parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    project.refuse(command, path.name, "changed: sha256", "manifest.json says")


def test_no_episode_to_choose_the_best_weights_by(project):
    file = "config/experiments/mine.yaml"
    project.edit(file, split={"heldout_fraction": 0.0}, eval={"closed_loop": None, "checkpoint": "best"})
    project.refuse(RESOLVE, "eval.checkpoint: found best", "split.heldout_fraction is 0", "last")


def test_no_episode_to_train_on(project):
    project.edit("config/experiments/mine.yaml", split={"heldout_fraction": 0.9})
    assert project.type(RESOLVE).returncode == 0
    project.refuse(NORM_STATS, "split.heldout_fraction 0.9 of 5 episodes", "0 trains on all, without validation")


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
