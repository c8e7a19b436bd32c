"""Reads and writes weights: a table between our parameter names and openpi's, strict loading, deterministic saving.

Start from `load_weights(model, path)` and `save_weights(model, path)`. Layouts that are read: openpi's PyTorch files
(the layout written here), and lerobot's, with a leading `model.` and the embedding under its own name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from pisft.architecture.names import EMBED, EMBEDDING, IGNORED, file_name
from pisft.config.model import ModelConfig
from pisft.errors import PisftError
from pisft.model.pi0 import Pi0
from pisft.names import one_line
from pisft.tensors import save

MOST = 40  # differences listed in a message


Shapes = Mapping[str, Sequence[int]]


class WeightsError(PisftError):
    """A file does not hold exactly the weights of the model."""


def load_weights(model: Pi0, path: str | Path) -> None:
    """Fill `model` from a safetensors file, or a folder with model.safetensors, in openpi's or lerobot's layout.

    Raises `WeightsError` that lists the differences, and leaves the model unchanged, unless the file has exactly the
    parameters with their shapes. Values are converted to the parameters' dtype.
    """
    path = Path(path)
    file = path / "model.safetensors" if path.is_dir() else path
    try:
        with safe_open(file, "pt") as stored:
            _load(model, file, stored)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file}: cannot be read as safetensors: {error}") from error


def save_weights(model: Pi0, path: str | Path) -> None:
    """Write the weights to `path` in openpi's layout, atomically by a rename; the same weights give the same bytes."""
    write_weights(model.config, model.named_parameters(), path)


def write_weights(config: ModelConfig, weights: Iterable[tuple[str, Tensor]], path: str | Path) -> None:
    """Write pairs of our name and a tensor, all parameters of a model that need not exist, like `save_weights`."""
    path = Path(path)
    tensors = {file_name(name): tensor.detach().cpu().contiguous() for name, tensor in weights}
    tensors[IGNORED] = torch.zeros(config.vocab_size, config.expert.width, dtype=tensors[EMBED].dtype)
    save(tensors, path, metadata={"format": "pt"})


def check_shapes(origin: object, what: str, expected: Shapes, found: Shapes) -> None:
    """Raise `WeightsError` that lists all differences unless `origin` has the names and shapes of `what`."""
    wrong = [
        *(f"missing {name}" for name in sorted(expected.keys() - found.keys())),
        *(f"surplus {name}" for name in sorted(found.keys() - expected.keys())),
        *(
            f"shape of {name}: found {list(found[name])}, expected {list(expected[name])}"
            for name in sorted(expected.keys() & found.keys())
            if list(found[name]) != list(expected[name])
        ),
    ]
    if wrong:
        told = [one_line(line)[:300] for line in wrong[:MOST]]
        told += [f"and {len(wrong) - MOST} more"] if len(wrong) > MOST else []
        raise WeightsError("\n  ".join([f"{origin}: does not hold {what}; nothing was loaded", *told]))


def fill(parameters: Mapping[str, Tensor], names: Mapping[str, str], stored: safe_open, file: Path, what: str) -> None:
    """Fill each parameter, or this rank's shard of it, with `stored`'s tensor `names[name]`, cast to its dtype.

    Names and shapes must match `file` exactly, see `check_shapes`.
    """
    check_shapes(
        file,
        what,
        expected={name: p.shape for name, p in parameters.items()},
        found={name: stored.get_slice(key).get_shape() for name, key in names.items()},
    )
    with torch.no_grad():
        for name, parameter in parameters.items():
            if isinstance(parameter, DTensor):
                put_shard(parameter, stored.get_slice(names[name]))
            else:
                parameter.copy_(stored.get_tensor(names[name]))


def put_shard(parameter: DTensor, whole: Any) -> None:
    """Fill this rank's shard of `parameter` from `whole`, a tensor or a slice of a file, sharded on its first dim."""
    shape, offset = compute_local_shape_and_global_offset(parameter.shape, parameter.device_mesh, parameter.placements)
    if shape[0]:
        parameter.to_local().copy_(whole[offset[0] : offset[0] + shape[0]])


def _load(model: Pi0, file: Path, stored: safe_open) -> None:
    names = {name: name for name in stored.keys()}  # noqa: SIM118 (not a dict)
    if names and all(name.startswith("model.") for name in names):
        names = {name.removeprefix("model."): name for name in names}
    names.pop(IGNORED, None)
    if EMBEDDING in names:
        # lerobot trains the embedding under its own name and never updates lm_head, which it does not read
        names[EMBED] = names.pop(EMBEDDING)
    parameters = {
        file_name(name.replace(".base_layer.", ".")): p
        for name, p in model.named_parameters()
        if ".lora_" not in name  # adapters have files of their own
    }
    fill(parameters, names, stored, file, f"this {model.config.variant}'s weights")
