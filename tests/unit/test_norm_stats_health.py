"""The health report names what looks wrong, says what was widened, and is drawn."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pisft.data.statistics.health import health, lines
from pisft.data.statistics.measure import Measured
from pisft.data.statistics.normalise import NormStats, Stats
from pisft.provenance.code import code_hashes
from pisft.records.health import Change
from pisft.report.health import draw

ROOT = Path(__file__).parents[2]


def measured(std, q01, q99, low, high, mean=0.0, beyond=0.02) -> Measured:
    columns = (np.broadcast_to(np.array(c, float), len(std)).copy() for c in (mean, std, q01, q99, low, high, beyond))
    return Measured(*columns, count=10)


GOOD = measured([1.0], [-1.0], [1.0], [-1.2], [1.2])
BAD = measured(
    [0.0, 0.3, 1e-5, 0.0], [0.0, -0.5, -2e-5, 0], [0.0, 0.5, 2e-5, 0], [0.0, -20.0, -3e-5, 0], [0, 0.5, 0.05, 0]
)
NAMES = {"state": ["x"], "actions": ["switch", "elbow", "wrist", "padding_0"]}


def report(method="quantile", **changes):
    return health({"state": GOOD, "actions": BAD}, NAMES, method, **changes)


def test_each_dim_is_named_and_what_looks_wrong_is_said():
    content = report()
    assert content.state.dims[0].warnings == []
    assert content.state.dims[0].largest_normalised == pytest.approx(1.2, rel=1e-5)
    dims = {dim.name: dim for dim in content.actions.dims}
    assert dims["switch"].warnings == ["constant"]
    assert dims["elbow"].warnings == ["outliers"]
    assert dims["elbow"].largest_normalised == pytest.approx(40, rel=1e-4)
    assert (dims["elbow"].min, dims["elbow"].max, dims["elbow"].beyond_quantiles) == (-20.0, 0.5, 0.02)
    assert dims["wrist"].warnings == ["tiny_std", "narrow_range", "outliers"]
    assert dims["padding_0"].warnings == []  # constant by design
    assert [line.split(":")[0] for line in lines(content)] == ["actions switch", "actions elbow", "actions wrist"]
    json.dumps(content.model_dump(mode="json"), allow_nan=False)


def test_what_was_widened_is_told_before_and_after():
    switch, elbow, wrist, _ = report(min_std=0.01, min_range=0.1).actions.dims
    assert elbow.widened == {}
    assert switch.widened["std"] == Change(before=0.0, after=0.01)
    assert wrist.widened["q01"] == Change(before=-2e-5, after=-0.05)
    assert wrist.widened["q99"] == Change(before=2e-5, after=0.05)
    assert wrist.widened["largest_normalised"].before == pytest.approx(2 * (0.05 + 2e-5) / 41e-6 - 1, rel=1e-4)
    assert wrist.widened["largest_normalised"].after == pytest.approx(1, rel=1e-4) == wrist.largest_normalised
    assert "widened" in lines(report(min_std=0.01))[0]
    assert "mean" not in wrist.widened


def test_under_the_statistics_of_a_base_its_own_say_how_far_off_the_data_are():
    far = Stats(*(np.array([value]) for value in (5.0, 0.1, 4.8, 5.2)))
    wide = Stats(*(np.zeros(2) + value for value in (0.0, 1.0, -2.0, 2.0)))
    shifted = measured([1.0], [-1.0], [1.0], [-1.2], [1.2], beyond=1.0)
    lacking = measured([1.0] * 4, [-1.0] * 4, [1.0] * 4, [-3.0] * 4, [3.0] * 4, beyond=[0.2, 0.01, np.nan, np.nan])
    content = health({"state": shifted, "actions": lacking}, NAMES, "zscore", base=NormStats(far, wide))
    assert content.statistics == "base"
    state = content.state.dims[0]
    assert state.warnings == ["outliers", "other_quantiles"]
    assert state.largest_normalised == pytest.approx(62, rel=1e-4)
    assert (state.beyond_quantiles, state.mean, state.base.mean) == (1.0, 0.0, 5.0)
    switch, elbow, wrist, _ = content.actions.dims
    assert (switch.warnings, elbow.warnings) == (["other_quantiles"], [])
    assert (wrist.base, wrist.beyond_quantiles, wrist.largest_normalised) == (None, None, 3.0)
    json.dumps(content.model_dump(mode="json"), allow_nan=False)


def test_the_figure_is_the_same_bytes_for_the_same_report(tmp_path):
    base = NormStats(*(Stats(*(np.zeros(3) + value for value in (0.0, 1.0, -2.0, 2.0))) for _ in range(2)))
    reports = [report(), report("zscore"), report(min_std=0.01, min_range=0.1), report(base=base)]
    seen = set()
    for i, content in enumerate(reports):
        for name in ("a.png", "b.png"):
            draw(content, tmp_path / name)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes(), i
        seen.add((tmp_path / "a.png").read_bytes())
    assert len(seen) == len(reports)
    with Image.open(tmp_path / "a.png") as figure:
        assert figure.width > 600 and figure.height > 200
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png"}


def test_how_the_figure_is_drawn_is_no_reason_to_train_again():
    hashes = code_hashes(ROOT / "scripts/norm_stats.py")
    assert "pisft/data/statistics/measure.py" in hashes
    assert not [path for path in hashes if path.startswith("pisft/report/")]
