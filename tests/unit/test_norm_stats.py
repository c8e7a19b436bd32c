"""Statistics are openpi's, exact, over the chosen episodes, and openpi's file format is spoken."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pisft.config.format import FormatConfig
from pisft.data import DataError, Format
from pisft.data.statistics import norm_stats
from pisft.data.statistics.normalise import NormStats, Stats, normalise, unnormalise
from safetensors.numpy import save_file

FIELDS = ("mean", "std", "q01", "q99")


def make_format(**changes) -> Format:
    content = {
        "cameras": {"base_0_rgb": "observation.image"},
        "state": "observation.state",
        "actions": "action",
        "normalisation": "quantile",
        "action_horizon": 5,
    }
    return Format(FormatConfig.model_validate(content | changes))


def test_episodes_that_are_not_chosen_have_no_influence(copied_dataset, video_dataset):
    import pyarrow.parquet as pq

    path = copied_dataset / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    spoilt = [[99.0] * 4 if episode == 2 else row for row, episode in zip(*map_columns(table), strict=True)]
    pq.write_table(table.set_column(table.column_names.index("action"), "action", [spoilt]), path)
    chosen = [0, 1, 3, 4]
    assert_same(
        norm_stats.compute(copied_dataset, make_format(), 5, chosen),
        norm_stats.compute(video_dataset, make_format(), 5, chosen),
    )
    assert norm_stats.compute(copied_dataset, make_format(), 5).actions.q99.max() == pytest.approx(99)


def map_columns(table):
    return table["action"].to_pylist(), table["episode_index"].to_pylist()


def assert_same(a, b):
    for name in ("state", "actions"):
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(getattr(a, name), field), getattr(getattr(b, name), field))


def test_min_std_and_min_range_widen_only_what_is_narrower(video_dataset):
    plain = norm_stats.compute(video_dataset, make_format(), 5)
    threshold = float(np.median(plain.actions.std))
    width = float(np.median(plain.actions.q99 - plain.actions.q01))
    wide = norm_stats.compute(video_dataset, make_format(), 5, min_std=threshold, min_range=width)
    np.testing.assert_array_equal(wide.actions.std, np.maximum(plain.actions.std, threshold))
    np.testing.assert_array_equal(wide.actions.mean, plain.actions.mean)
    np.testing.assert_allclose(
        wide.actions.q99 - wide.actions.q01, np.maximum(plain.actions.q99 - plain.actions.q01, width)
    )
    np.testing.assert_allclose(wide.actions.q99 + wide.actions.q01, plain.actions.q99 + plain.actions.q01)


def test_the_file_has_openpis_schema_and_reads_back_bit_for_bit(tmp_path, video_dataset):
    stats = norm_stats.compute(video_dataset, make_format(), 5)
    path = tmp_path / "norm_stats.json"
    norm_stats.save(stats, path)
    content = json.loads(path.read_text())
    assert list(content) == ["norm_stats"]
    assert set(content["norm_stats"]) == {"state", "actions"}
    assert all(set(field) == set(FIELDS) for field in content["norm_stats"].values())
    assert_same(norm_stats.load(path), stats)
    before = path.read_bytes()
    norm_stats.save(norm_stats.load(path), path)
    assert path.read_bytes() == before


def test_lerobots_statistics_are_read_from_its_normaliser(tmp_path):
    path = tmp_path / "policy_preprocessor_step_3_normalizer_processor.safetensors"
    rng = np.random.default_rng(0)
    expected = NormStats(*(Stats(*rng.random((4, 3), np.float32)) for _ in range(2)))
    content = {"observation.image.mean": np.zeros((3, 1, 1), np.float32), "action.count": np.ones(1, np.int64)}
    for key, field in (("observation.state", expected.state), ("action", expected.actions)):
        content |= {f"{key}.{name}": getattr(field, name) for name in FIELDS}
    save_file(content, path)
    assert_same(norm_stats.load(path), expected)
    del content["action.q01"]
    save_file(content, path)
    with pytest.raises(DataError, match=r"action\.q01.*norm_stats\.from: dataset"):
        norm_stats.load(path)
    path.write_text("{}")
    with pytest.raises(DataError, match="cannot be read"):
        norm_stats.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not openpi's norm_stats.json"),
        ('{"norm_stats": {"state": {}}}', "is not openpi's norm_stats.json"),
        ('{"norm_stats": {"state": {"mean": [1], "std": [1, 2], "q01": [0], "q99": [1]}}}', "norm_stats"),
    ],
)
def test_a_file_of_another_kind_is_an_error(tmp_path, text, message):
    path = tmp_path / "norm_stats.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        norm_stats.load(path)


def test_no_episode_is_an_error(video_dataset):
    with pytest.raises(DataError, match="no episode is selected"):
        norm_stats.compute(video_dataset, make_format(), 5, episodes=[])


def test_statistics_depend_on_no_model_code():
    shown = "print(sorted(m for m in sys.modules if m.startswith(('torch', 'pisft'))))"
    code = f"import sys, pisft.data.statistics.norm_stats; {shown}"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for name in ("torch", "pisft.model", "pisft.data.loading.preprocess", "pisft.data.transforms.tokenizer"):
        assert f"'{name}'" not in modules


finite = st.floats(-1e3, 1e3, width=32)


@settings(max_examples=100, deadline=None)
@given(
    x=hnp.arrays(np.float32, (3, 6), elements=finite),
    mean=hnp.arrays(np.float64, 4, elements=st.floats(-10, 10)),
    spread=hnp.arrays(np.float64, 4, elements=st.floats(0.01, 10)),
    method=st.sampled_from(["zscore", "quantile"]),
)
def test_unnormalise_is_the_inverse_of_normalise(x, mean, spread, method):
    stats = Stats(mean, spread, mean - spread, mean + spread)
    there = normalise(x, stats, method)
    assert there.dtype == np.float32
    np.testing.assert_allclose(unnormalise(there, stats, method), x, rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(there[:, 4:], x[:, 4:])


def test_the_formulas_are_openpis():
    stats = Stats(*(np.array([v]) for v in (2.0, 3.0, -4.0, 6.0)))
    x = np.array([[-50.0], [2.0], [6.0]], np.float32)
    np.testing.assert_allclose(normalise(x, stats, "zscore"), (x - 2) / (3 + 1e-6), rtol=1e-6)
    np.testing.assert_allclose(normalise(x, stats, "quantile"), (x + 4) / (10 + 1e-6) * 2 - 1, rtol=1e-6)
    assert normalise(x, stats, "quantile").min() < -9
