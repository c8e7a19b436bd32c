"""Statistics are those of openpi's definition: every action of every chunk, exactly, whatever data and workers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import vector_dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from lerobot_data import make_lerobot_dataset
from pisft.config.format import FormatConfig
from pisft.data import DataError, Format
from pisft.data.lerobot import vectors
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.statistics import chunks
from pisft.data.statistics import measure as engine
from pisft.data.statistics.measure import Measured, measure
from pisft.data.statistics.normalise import NormStats, Stats

QUANTITIES = ("mean", "std", "q01", "q99", "low", "high", "beyond")


def make_format(**changes) -> Format:
    content = {
        "cameras": {"base_0_rgb": "observation.image"},
        "state": "observation.state",
        "actions": "action",
        "normalisation": "quantile",
        "action_horizon": 5,
    }
    return Format(FormatConfig.model_validate(content | changes))


def chunk_by_chunk(data: LeRobotData, fmt: Format, horizon: int, episodes) -> dict[str, np.ndarray]:
    """All encoded states and actions, float64 (n, d), sample by sample as the definition reads."""
    columns = {key: data.column(key) for key in fmt.vector_keys}
    states, actions = [], []
    for episode in episodes:
        rows = list(range(data.num_frames))[data.episode_slices[episode]]
        for row in rows:
            ahead = [min(row + step, rows[-1]) for step in range(horizon)]
            sample = {source.key: columns[source.key][row] for source in fmt.config.state}
            sample |= {source.key: columns[source.key][ahead] for source in fmt.config.actions}
            images = dict.fromkeys(fmt.config.cameras.values(), np.zeros((1, 1, 3), np.uint8))
            encoded = fmt.encode({**sample, **images, "task": "reach"})
            states.append(encoded["state"])
            actions += list(encoded["actions"])
    return {"state": np.array(states, np.float64), "actions": np.array(actions, np.float64)}


def check(measured: Measured, values: np.ndarray) -> None:
    """`measured` are the statistics of `values` (n, d)."""
    assert measured.count == len(values)
    q01, q99 = np.quantile(values, (0.01, 0.99), axis=0)
    np.testing.assert_array_equal(measured.q01, q01)
    np.testing.assert_array_equal(measured.q99, q99)
    np.testing.assert_array_equal(measured.low, values.min(axis=0))
    np.testing.assert_array_equal(measured.high, values.max(axis=0))
    np.testing.assert_array_equal(measured.beyond, ((values < q01) | (values > q99)).mean(axis=0))
    size = np.abs(values).max(axis=0)
    assert (np.abs(measured.mean - values.mean(axis=0)) <= 1e-12 * size).all()
    assert (np.abs(measured.std - values.std(axis=0)) <= 1e-12 * size).all()


@pytest.mark.parametrize("mask", [[], [3, -1]])
@pytest.mark.parametrize("episodes", [None, [4, 0, 3]])
@pytest.mark.parametrize("horizon", [1, 5, 20])
def test_every_action_of_every_chunk_counts_once(video_dataset, mask, episodes, horizon):
    fmt, data = make_format(delta_mask=mask), LeRobotData(video_dataset)
    values = chunk_by_chunk(data, fmt, horizon, range(5) if episodes is None else sorted(episodes))
    measured = measure([(data, episodes)], fmt, horizon)
    for field in ("state", "actions"):
        check(measured[field], values[field])


@pytest.mark.parametrize(
    "changes",
    [
        {"pad_to": 9, "features": {"observation.state": {"shape": [7]}, "action": {"shape": [7]}}},
        {
            "state": ["observation.state", {"key": "gripper", "dims": [0, 1]}],
            "actions": [
                {"key": "action", "dims": [0, 3]},
                {"key": "action", "dims": [3, 6], "rotation": "rpy"},
                {"key": "action", "dims": [6, 7]},
            ],
            "delta_mask": [3, -7],
        },
    ],
    ids=["padded", "rotation"],
)
def test_values_are_those_after_the_formats_maps(tmp_path, changes):
    rng = np.random.default_rng(0)
    vectors = {key: rng.normal(0, 1, (90, 7)) for key in ("observation.state", "action", "gripper")}
    features = {"observation.image": {"dtype": "image", "shape": [8, 8, 3]}, **changes.pop("features", {})}
    fmt = make_format(**changes, **({"features": features} if len(features) > 1 else {}))
    data = LeRobotData(vector_dataset.write(tmp_path / "lerobot", vectors, [40, 3, 47]))
    measured = measure([(data, None)], fmt, 5)
    for field, values in chunk_by_chunk(data, fmt, 5, range(3)).items():
        check(measured[field], values)


special = st.sampled_from([0.0, -0.0, 1e-45, -1e-45, 1.0, -1.0, 3e37, -3e37, 0.1])
kinds = st.sampled_from(["walk", "constant", "nearly", "outlier", "special"])


@st.composite
def recordings(draw):
    """(lengths, vectors, horizon, mask) of a small dataset, each dim of a kind of its own."""
    lengths = draw(st.lists(st.integers(1, 30), min_size=1, max_size=6))
    frames, width = sum(lengths), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def column() -> np.ndarray:
        match draw(kinds):
            case "walk":
                return rng.normal(0, 1, frames).cumsum()
            case "constant":
                return np.full(frames, draw(special))
            case "nearly":
                return 0.3 + 1e-7 * rng.integers(0, 2, frames)
            case "outlier":
                return np.where(np.arange(frames) == rng.integers(frames), 1e6, rng.normal(0, 1e-3, frames))
            case "special":
                return np.array([draw(special) for _ in range(frames)])

    vectors = {key: np.stack([column() for _ in range(width)], -1) for key in ("observation.state", "action")}
    counts = draw(st.lists(st.sampled_from([-2, -1, 1, 2]), max_size=3))
    while sum(map(abs, counts)) > width:
        counts.pop()
    return lengths, vectors, draw(st.integers(1, 40)), counts


@settings(max_examples=60, deadline=None)
@given(recording=recordings(), group=st.sampled_from([7, 30, 1000]), size=st.sampled_from([5, 16, 4096]))
def test_any_dataset_is_measured_exactly(tmp_path_factory, recording, group, size):
    lengths, columns, horizon, mask = recording
    root = vector_dataset.write(tmp_path_factory.mktemp("any") / "lerobot", columns, lengths, group)
    fmt, data = make_format(delta_mask=mask), LeRobotData(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "FRAMES", size)  # so that episodes are cut as they are in large datasets
        patch.setattr(vectors, "BATCH", size + 2)
        measured = measure([(data, None)], fmt, horizon)
    for field, values in chunk_by_chunk(data, fmt, horizon, range(len(lengths))).items():
        check(measured[field], values)


@pytest.fixture(scope="module")
def long_dataset(tmp_path_factory) -> Path:
    """70,000 frames in three files whose row groups are unlike the blocks; with a jump, a constant and an outlier."""
    return write_long(tmp_path_factory.mktemp("long") / "lerobot", 70_000)


def write_long(root: Path, frames: int) -> Path:
    rng = np.random.default_rng(0)
    columns = {key: rng.normal(0, 1, (frames, 4)) for key in ("observation.state", "action")}
    columns["action"][:, 1] = 1.0
    columns["action"][frames // 3, 2] = 1e6
    lengths = [frames - frames // 2 - 1000, *[250] * (frames // 500), 1000]
    lengths[0] += frames - sum(lengths)
    return vector_dataset.write(root, columns, lengths, group=3000, files=3)


def same(a: dict[str, Measured], b: dict[str, Measured]) -> bool:
    return all(getattr(a[f], q).tobytes() == getattr(b[f], q).tobytes() for f in a for q in QUANTITIES)


def test_the_number_of_workers_does_not_show(long_dataset, monkeypatch):
    monkeypatch.setattr(engine, "BLOCKS_A_WORKER", 2)
    data, fmt = LeRobotData(long_dataset), make_format(delta_mask=[1, -1, 2])
    episodes = [e for e in range(data.num_episodes) if e % 7]
    alone, *together = [measure([(data, episodes), (data, None)], fmt, 10, workers) for workers in (1, 2, 3)]
    assert all(same(alone, other) for other in together)


def test_several_datasets_are_measured_as_one(tmp_path, video_dataset):
    other = make_lerobot_dataset(tmp_path / "other", episodes=(6, 8), video=False, seed=1)
    pairs = [(LeRobotData(video_dataset), [0, 1]), (LeRobotData(other), [0, 1])]
    fmt = make_format(delta_mask=[4])
    both = measure(pairs, fmt, 5)
    parts = [chunk_by_chunk(data, fmt, 5, episodes) for data, episodes in pairs]
    for field in ("state", "actions"):
        check(both[field], np.concatenate([part[field] for part in parts]))


def test_datasets_of_other_widths_do_not_mix(tmp_path, video_dataset):
    other = make_lerobot_dataset(tmp_path / "other", episodes=(6,), vectors={"observation.state": 4, "action": 3})
    with pytest.raises(DataError, match=r"actions has 4 dims in .*/video and 3 in .*/other"):
        measure([(LeRobotData(video_dataset), None), (LeRobotData(other), None)], make_format(), 5)


def test_what_lies_beyond_other_statistics_is_counted(long_dataset):
    data, fmt = LeRobotData(long_dataset), make_format()
    narrow = Stats(*(np.full(3, value) for value in (0.0, 1.0, -0.5, 0.25)))
    measured = measure([(data, None)], fmt, 1, reference=NormStats(narrow, narrow))
    values = data.column("observation.state").astype(np.float64)[:, :3]
    np.testing.assert_array_equal(measured["state"].beyond[:3], ((values < -0.5) | (values > 0.25)).mean(axis=0))
    assert np.isnan(measured["state"].beyond[3])


@pytest.mark.parametrize(("key", "value"), [("observation.state", np.nan), ("action", np.inf)])
def test_a_number_that_is_not_finite_is_named(tmp_path, key, value):
    vectors = {k: np.zeros((60, 3)) for k in ("observation.state", "action")}
    vectors[key][25, 1] = value
    data = LeRobotData(vector_dataset.write(tmp_path / "lerobot", vectors, [20, 40], group=16))
    message = rf"lerobot/data/chunk-000/file-000.parquet: '{key}' of episode 1, frame 5, dim 1 is {value}"
    with pytest.raises(DataError, match=message):
        measure([(data, None)], make_format(delta_mask=[3]), 10)
    assert measure([(data, [0])], make_format(delta_mask=[3]), 10)["state"].count == 20


def test_a_difference_that_is_not_finite_is_named(tmp_path):
    vectors = {"observation.state": np.full((60, 3), -3e38), "action": np.zeros((60, 3))}
    vectors["action"][50, 2] = 3e38
    data = LeRobotData(vector_dataset.write(tmp_path / "lerobot", vectors, [20, 40]))
    with pytest.raises(DataError, match=r"encoded actions of episode 1, frame 30, dim 2 is not finite"):
        measure([(data, None)], make_format(delta_mask=[3]), 1)


GROWTH = """
import re, sys
from pathlib import Path
from pisft.config.format import FormatConfig
from pisft.data import Format
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.statistics.measure import measure

format = Format(FormatConfig.model_validate({
    "cameras": {}, "state": "observation.state", "actions": "action", "delta_mask": [4],
    "normalisation": "zscore", "action_horizon": 10,
}))
peaks = []
for root in sys.argv[1:]:
    measure([(LeRobotData(root), None)], format, 10)
    # not getrusage's maximum, which counts the parent's memory before exec
    peaks.append(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]))
print(1024 * (peaks[-1] - peaks[0]))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_dataset(tmp_path):
    roots = [write_long(tmp_path / name, frames) for name, frames in (("short", 400_000), ("long", 1_600_000))]
    done = subprocess.run([sys.executable, "-c", GROWTH, *roots], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20e6  # the vectors alone have 38 MB more, one dim of all chunks 48 MB
