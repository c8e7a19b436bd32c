"""`scripts/norm_stats.py --config-name … --repo-id …`, typed as a person would."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import warm
import yaml
from legacy_data import make_legacy_dataset
from pisft.config.format import FormatConfig
from pisft.data import Format
from pisft.data.statistics import norm_stats

ROOT = Path(__file__).parents[2]
FILES = {"norm_stats.json", "norm_stats.report.json", "norm_stats.report.png"}
FORMAT = {
    "cameras": {"base_0_rgb": "observation.image"},
    "state": "observation.state",
    "actions": "action",
    "delta_mask": [3, -1],
    "normalisation": "quantile",
    "action_horizon": 5,
}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Where the command is typed: a project with two formats, of which one has its place in upstream's registry."""
    formats = tmp_path / "config/formats"
    formats.mkdir(parents=True)
    (formats / "mine.yaml").write_text(yaml.safe_dump(FORMAT))
    (formats / "known.yaml").write_text(yaml.safe_dump(FORMAT | {"asset_id": "upstream/robot"}))
    return tmp_path


def type_command(folder: Path, *args: str | Path, **env: str) -> subprocess.CompletedProcess:
    return warm.run([ROOT / "scripts/norm_stats.py", *args], folder, os.environ | env, anew=["huggingface_hub"])


def found(folder: Path) -> dict[Path, set[str]]:
    return {path.parent.relative_to(folder): {p.name for p in path.parent.iterdir()} for path in folder.rglob("*.png")}


def test_a_folder_goes_to_the_place_where_upstream_looks_for_its_format(folder, video_dataset):
    done = type_command(folder, "--config-name", "known", "--repo-id", video_dataset, "--workers", "2")
    assert done.returncode == 0, done.stderr
    place = "assets/known/upstream/robot"
    assert found(folder) == {Path(place): FILES}
    assert done.stdout.splitlines()[0] == f"{place}/norm_stats.json"
    stats = norm_stats.load(folder / place / "norm_stats.json")
    expected = norm_stats.compute(video_dataset, Format(FormatConfig.model_validate(FORMAT)), 5)
    for field in ("state", "actions"):
        for key in ("mean", "std", "q01", "q99"):
            np.testing.assert_array_equal(getattr(getattr(stats, field), key), getattr(getattr(expected, field), key))


def test_what_the_data_contradict_is_printed_and_in_the_report(folder, video_dataset):
    done = type_command(folder, "--config-name", "mine", "--repo-id", video_dataset)
    report = folder / f"assets/mine/{video_dataset.name}/norm_stats.report.json"
    warnings = json.loads(report.read_text())["format"]["warnings"]
    assert any("does not go along with the state's dim there" in warning for warning in warnings)
    assert all(warning in done.stdout.splitlines() for warning in warnings)


@pytest.mark.parametrize(("version", "video"), [("v2.0", True), pytest.param("v2.1", False, marks=pytest.mark.slow)])
def test_an_older_dataset_has_the_statistics_of_its_v3_version_and_stays_as_it_is(folder, version, video):
    old = make_legacy_dataset(folder / "old", version, video=video)
    files = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    made = []
    for name in ("old", "old_new"):
        done = type_command(folder, "--config-name", "mine", "--repo-id", name, TMPDIR=str(folder))
        assert done.returncode == 0, done.stderr
        made.append((folder / f"assets/mine/{name}/norm_stats.json").read_bytes())
    assert made[0] == made[1]
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == files
    assert not list(folder.glob("pisft-*"))
    (old / "data/chunk-000/episode_000001.parquet").unlink()
    done = type_command(folder, "--config-name", "mine", "--repo-id", "old")
    assert done.returncode == 1 and "error: old/data/chunk-000/episode_000001.parquet: the rows of" in done.stderr


def test_a_folder_that_no_registry_knows_goes_by_its_name(folder, video_dataset):
    shutil.copytree(video_dataset, folder / "data/pick/lerobot")
    for place in (video_dataset, "data/pick/lerobot"):
        done = type_command(folder, "--config-name", "mine", "--repo-id", place, "--output", "out", "--exp-name", "one")
        assert done.returncode == 0, done.stderr
    assert found(folder) == {Path("out/one") / video_dataset.name: FILES, Path("out/one/pick"): FILES}


@pytest.mark.parametrize("name", ["HF_LEROBOT_HOME", "HF_HOME"])
def test_a_name_is_looked_up_where_lerobot_keeps_datasets_and_stays_the_name(folder, video_dataset, name, monkeypatch):
    cache = folder / "cache"
    shutil.copytree(video_dataset, cache / ("me/robot" if name == "HF_LEROBOT_HOME" else "lerobot/me/robot"))
    monkeypatch.delenv("HF_LEROBOT_HOME", raising=False)
    done = type_command(folder, "--config-name", "known", "--repo-id", "me/robot", **{name: str(cache)})
    assert done.returncode == 0, done.stderr
    assert found(folder) == {Path("assets/known/me/robot"): FILES}
    looked_up = folder / "assets/known/upstream/robot/norm_stats.json"
    assert looked_up.read_bytes() == (folder / "assets/known/me/robot/norm_stats.json").read_bytes()


def hub_cache(home: Path, dataset: Path, *commits: str, **refs: str) -> Path:
    """A dataset as the hub's client keeps it for lerobot: commits of links to blobs, and refs that name one."""
    cache = home / "hub/datasets--me--robot"
    shutil.copytree(dataset, cache / "blobs")
    for commit in commits:
        for file in (path for path in (cache / "blobs").rglob("*") if path.is_file()):
            link = cache / "snapshots" / commit / file.relative_to(cache / "blobs")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    for ref, commit in refs.items():
        (cache / "refs").mkdir(exist_ok=True)
        (cache / "refs" / ref.replace("_", ".")).write_text(commit)
    return cache


@pytest.mark.parametrize(
    "refs",
    [{"main": "b2", "v3_0": "a1"}, *(pytest.param(refs, marks=pytest.mark.slow) for refs in ({}, {"main": "a1"}))],
)
def test_a_name_is_found_in_the_hub_cache_that_lerobot_fetches_into(folder, video_dataset, refs):
    commits = ["a1", "b2"] if len(refs) > 1 else ["a1"]
    hub_cache(folder / "cache", video_dataset, *commits, **refs)
    if len(commits) > 1:
        shutil.rmtree(folder / "cache/hub/datasets--me--robot/snapshots/b2/data")  # the wrong one could not be read
    home = {"HF_LEROBOT_HOME": str(folder / "cache")}
    done = type_command(folder, "--config-name", "mine", "--repo-id", "me/robot", **home)
    assert done.returncode == 0, done.stderr
    done = type_command(folder, "--config-name", "mine", "--repo-id", video_dataset, "--output", "by_folder")
    assert done.returncode == 0, done.stderr
    stats = (folder / "assets/mine/me/robot/norm_stats.json").read_bytes()
    assert stats == next((folder / "by_folder").rglob("norm_stats.json")).read_bytes()


def test_of_several_commits_that_nothing_names_none_is_taken(folder, video_dataset):
    hub_cache(folder / "cache", video_dataset, "a1", "b2")
    home = {"HF_LEROBOT_HOME": str(folder / "cache")}
    done = type_command(folder, "--config-name", "mine", "--repo-id", "me/robot", **home)
    assert done.returncode == 1 and "found 2 commits of me/robot: a1, b2; give the folder" in done.stderr


def test_dims_are_widened_where_asked_and_both_numbers_are_told(folder, video_dataset):
    args = ("--config-name", "mine", "--repo-id", video_dataset)
    before = type_command(folder, *args, "--output", "before")
    after = type_command(folder, *args, "--output", "after", "--min-std", "50", "--min-range", "300")
    assert before.returncode == after.returncode == 0, after.stderr
    assert "widened" not in before.stdout and "widened: std " in after.stdout and " → 50" in after.stdout
    was, now = (norm_stats.load(next((folder / name).rglob("norm_stats.json"))) for name in ("before", "after"))
    assert (was.state.std < 50).all() and (now.state.std == 50).all()
    np.testing.assert_allclose(now.actions.q99 - now.actions.q01, 300)
    report = json.loads(next((folder / "after").rglob("norm_stats.report.json")).read_text())
    told = report["state"]["dims"][0]["widened"]["std"]
    assert told == {"before": was.state.std[0], "after": 50.0}


@pytest.mark.parametrize("limit", ["-1", "nan", "inf", "wide"])
def test_a_limit_is_a_number_of_0_or_more(folder, video_dataset, limit):
    done = type_command(folder, "--config-name", "mine", "--repo-id", video_dataset, f"--min-std={limit}")
    assert done.returncode == 2 and f"found '{limit}'; expected a number, 0 or more" in done.stderr


def test_what_cannot_be_found_is_one_message(folder, video_dataset):
    done = type_command(
        folder, "--config-name", "known", "--repo-id", "me/robot", HF_LEROBOT_HOME=str(folder / "cache")
    )
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert f"there is no such folder, nor {folder}/cache/me/robot" in done.stderr
    done = type_command(folder, "--config-name", "knwon", "--repo-id", video_dataset)
    assert done.returncode == 1 and "did you mean 'known'?" in done.stderr
    assert not found(folder)


@pytest.mark.parametrize("args", [[], ["--config-name", "mine"], ["config.json", "--repo-id", "me/robot"]])
def test_half_a_command_is_refused(folder, args):
    done = type_command(folder, *args)
    assert done.returncode == 2 and "give an experiment's config.json, or --config-name and --repo-id" in done.stderr
