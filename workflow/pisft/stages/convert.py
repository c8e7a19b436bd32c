"""The stage that converts one of openpi's JAX checkpoints to base weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, override

from pisft.config import ConfigError
from pisft.config.files import load_model
from pisft.config.model import BaseWeights, ModelConfig
from pisft.stages.base import Output, Stage
from pisft.stages.experiment import model_slice
from pisft.stages.source import Source


def read(name: str, root: Path) -> ModelConfig:
    """What config/models/<name>.yaml says; raises `ConfigError` where its base weights are not to be converted."""
    model = load_model(name, root)
    if not isinstance(model.base, BaseWeights) or model.base.orbax is None:
        raise ConfigError(f"config/models/{name}.yaml: base: found {model.base}; expected {{orbax: <folder>}}")
    return model


class Convert(Stage[ModelConfig]):
    """Converts the base weights of a model, once."""

    name = "convert"
    outputs = (Output("data/base/{name}/model.safetensors", "base weights converted from openpi's JAX checkpoints"),)
    record = "data/base/{name}/provenance.json"
    named = "a model"
    read = staticmethod(read)

    @override
    def slice(self, subject: ModelConfig) -> dict[str, Any]:
        return {"model": model_slice(subject)}

    @override
    def rebuilt(self, subject: ModelConfig) -> bool:
        return False

    @override
    def cost(self, subject: ModelConfig) -> str | None:
        orbax = _folder(subject)
        return None if Path(orbax).expanduser().exists() else f"the checkpoint to convert is missing: {orbax}"

    @override
    def sources(self, subject: ModelConfig, root: Path) -> dict[str, Source]:
        return {"files": Source.at(_folder(subject), root)}

    @override
    def files(self, root: Path) -> list[str]:
        return ["envs/orbax/dump.py", "envs/orbax/uv.lock"]


def _folder(model: ModelConfig) -> str:
    """The folder of the checkpoint; `read` has looked whether there is one."""
    assert isinstance(model.base, BaseWeights) and model.base.orbax is not None
    return model.base.orbax
