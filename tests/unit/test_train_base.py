"""Base weights come from one place."""

import pytest
from pisft.train.base_weights import base_path
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
