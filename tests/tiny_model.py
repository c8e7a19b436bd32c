"""The smallest model that is whole, for tests that need one or say what of it matters: start from `model_config`."""

from typing import Any

from pisft.config.model import ModelConfig

MODEL = {
    "variant": "pi0",
    "image_size": 32,
    "vision": {"width": 16, "depth": 1, "mlp": 32, "heads": 2, "patch": 16},
    "depth": 2,
    "heads": 2,
    "head_dim": 8,
    "vlm": {"width": 16, "mlp": 32},
    "expert": {"width": 16, "mlp": 32},
    "vocab_size": 258,
    "action_horizon": 4,
    "max_token_len": 32,
    "tokenizer": {"kind": "bytes"},
}


def model_config(**changes: Any) -> ModelConfig:
    """`MODEL` with other values for some keys; those of a mapping are changed one by one."""
    merged = {k: MODEL[k] | v if isinstance(v, dict) else v for k, v in changes.items()}
    return ModelConfig.model_validate(MODEL | merged)
