"""Base weights come from one place, and their statistics from beside them."""

import pytest
from pisft.train.base import base_path, base_stats
from pisft.train.errors import TrainingError
from tiny_training import make_experiment


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ({"path": "weights"}, "weights"),
        ({"experiment": "other"}, "results/other/checkpoint"),
        ({"orbax": "/jax/params"}, "data/base/tiny"),
    ],
)
def test_where_base_weights_lie(tmp_path, image_dataset, base, expected):
    config = make_experiment(tmp_path, image_dataset, model={"base": base})
    assert base_path(config, tmp_path) == tmp_path / expected


@pytest.mark.parametrize(
    "place",
    [
        "norm_stats.json",
        "assets/physical-intelligence/libero/norm_stats.json",
        "policy_preprocessor_step_5_normalizer_processor.safetensors",
    ],
)
def test_statistics_lie_beside_the_weights_or_where_openpi_or_lerobot_keep_them(tmp_path, image_dataset, place):
    config = make_experiment(tmp_path, image_dataset, model={"base": {"path": "weights"}})
    with pytest.raises(TrainingError, match="found 0"):
        base_stats(config, tmp_path)
    file = tmp_path / "weights" / place
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    assert base_stats(config, tmp_path) == file
    other = tmp_path / "weights/assets/other/norm_stats.json"
    other.parent.mkdir(parents=True)
    other.write_text("{}")
    with pytest.raises(TrainingError, match="found 2"):
        base_stats(config, tmp_path)
