"""Recordings are the same bytes whatever happened on the way, and never leave a dataset half written."""

import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from metaworld_config import simulator
from pisft.config.dataset import GeneratedDataset
from pisft.simulators import demonstrate, episodes
from pisft.simulators.base import SimulatorError, open_simulator

ORIGIN = GeneratedDataset(simulator="metaworld", tasks=["button-press-topdown", "drawer-close"], episodes_per_task=2)


def _digest(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    out = tmp_path_factory.mktemp("recorded") / "lerobot"
    facts = demonstrate.record(ORIGIN, simulator(), out, workers=1)
    return out, facts


def test_two_workers_record_the_same_bytes_as_one_whatever_the_folder_is_called(recorded, tmp_path):
    out, facts = recorded
    folder = tmp_path / 'it\'s {a} "b" $(touch X); ü'
    folder.mkdir()
    assert demonstrate.record(ORIGIN, simulator(), folder / "lerobot", workers=2) == facts
    assert _digest(folder / "lerobot") == _digest(out)
    assert [path.name for path in folder.iterdir()] == ["lerobot"]


@pytest.mark.slow
def test_a_recording_that_is_killed_goes_on_to_the_same_bytes(recorded, tmp_path, monkeypatch):
    code = (
        "import os, signal, sys; from pathlib import Path; import test_demonstrate as t\n"
        "run = t.demonstrate.Pool.map\n"
        "def dying(self, function, items):\n"
        "    for done in run(self, function, items):\n"
        "        yield done\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "t.demonstrate.Pool.map = dying\n"
        "t.demonstrate.record(t.ORIGIN, t.simulator(), Path(sys.argv[1]), workers=1)"
    )
    tests = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{tests}:{tests.parent}"}
    out = tmp_path / "lerobot"
    killed = subprocess.run([sys.executable, "-c", code, out], env=environment, stderr=subprocess.DEVNULL)
    assert killed.returncode == -signal.SIGKILL
    staged = list(tmp_path.rglob("*.npz"))
    assert not out.exists() and 1 <= len(staged) < 4
    tried = []
    run = demonstrate.Pool.map
    monkeypatch.setattr(demonstrate.Pool, "map", lambda self, f, items: run(self, f, tried.extend(items) or tried))
    demonstrate.record(ORIGIN, simulator(), out, workers=1)
    assert {path for _, _, path, _ in tried}.isdisjoint(staged) and len(tried) == 4 - len(staged)
    assert _digest(out) == _digest(recorded[0])


def test_lerobot_reads_what_was_recorded(recorded):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    out, facts = recorded
    data = LeRobotDataset("x/y", root=out, video_backend="pyav")
    assert data.num_episodes == 4 and data.fps == 80
    assert facts["seeds"] == {task: [0, 1] for task in ORIGIN.tasks}
    length = int(data.meta.episodes[2]["dataset_from_index"])
    frame = data[length + 3]
    assert frame["task"] == "close the drawer"
    sim = open_simulator(simulator())
    sim.reset("drawer-close", 0)
    for _ in range(3):
        sim.step(sim.expert_action()[None])
    seen = sim.observation()
    np.testing.assert_array_equal(frame["observation.state"].numpy(), seen["observation.state"])
    np.testing.assert_array_equal(frame["action"].numpy(), sim.expert_action())
    image = frame["observation.image"].numpy().transpose(1, 2, 0) * 255
    assert np.abs(image - seen["observation.image"]).max() <= 3


def test_an_expert_that_fails_is_given_another_seed_of_the_range(tmp_path):
    failing = {("drawer-close", 1), ("drawer-close", 3)}

    def stage(path, success):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, success=success)

    folder = tmp_path / "staging"
    for task in ORIGIN.tasks:
        for seed in range(10):
            stage(folder / task / f"{seed}.npz", (task, seed) not in failing)
    seeds = demonstrate._stage(ORIGIN, simulator(), folder, workers=1)
    assert seeds == {"button-press-topdown": [0, 1], "drawer-close": [0, 5]}
    for seed in range(10):
        stage(folder / "drawer-close" / f"{seed}.npz", False)
    with pytest.raises(SimulatorError, match=r"drawer-close: the expert failed on every seed.*\(0-9\)"):
        demonstrate._stage(ORIGIN, simulator(), folder, workers=1)


def test_other_settings_never_reuse_what_was_staged():
    render = simulator().render.model_dump()
    keys = {
        demonstrate._staging_key(simulator(**changes), 0.0)
        for changes in ({}, {"max_steps": 99}, {"render": render | {"shadowsize": 64}})
    }
    assert (
        len(keys | {demonstrate._staging_key(simulator(), 0.1), demonstrate._staging_key(simulator(), 0.0, "new")}) == 5
    )


def test_a_disturbance_is_executed_and_not_recorded(tmp_path):
    sim = open_simulator(simulator())
    frames = {}
    for noise in (0.0, 0.1):
        paths = [tmp_path / f"{noise}{i}.npz" for i in range(2)]
        for path in paths:
            episodes.demonstrate(sim, "drawer-close", 0, path, noise)
        with np.load(paths[0]) as one, np.load(paths[1]) as again:
            frames[noise] = {key: one[key] for key in ("observation.state", "action")}
            np.testing.assert_array_equal(one["action"], again["action"])
    clean, disturbed = (frames[noise]["observation.state"] for noise in (0.0, 0.1))
    assert np.abs(clean[5:15] - disturbed[5:15]).max() > 1e-4
    sim.reset("drawer-close", 0)
    np.testing.assert_array_equal(frames[0.1]["action"][0], sim.expert_action())


def test_a_full_disk_while_staging_is_told_and_leaves_the_old_dataset(tmp_path):
    out = tmp_path / "lerobot"
    out.mkdir()
    (out / "old").write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, hard))  # inherited by the workers
    try:
        with pytest.raises(OSError, match=r"\.npz") as caught:
            demonstrate.record(ORIGIN, simulator(), out, workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert (out / "old").read_text() == "old" and not list(tmp_path.rglob("*.tmp"))


def test_a_full_disk_while_assembling_is_told_and_keeps_staged_and_old(recorded, tmp_path):
    out = tmp_path / "lerobot"
    out.mkdir()
    (out / "old").write_text("old")
    staging = tmp_path / "staging" / demonstrate._staging_key(simulator(), 0.0)
    sim = open_simulator(simulator())
    for task in ORIGIN.tasks:
        (staging / task).mkdir(parents=True)
        for seed in (0, 1):
            episodes.demonstrate(sim, task, seed, staging / task / f"{seed}.npz")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError) as caught:
            demonstrate.record(ORIGIN, simulator(), out, workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert len(list(staging.rglob("*.npz"))) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lerobot", "staging"]
    assert (out / "old").read_text() == "old"
    demonstrate.record(ORIGIN, simulator(), out, workers=1)
    assert _digest(out) == _digest(recorded[0])
