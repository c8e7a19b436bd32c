"""Low-rank adapters on a `Pi0`, by peft: which modules get one, their initialisation, and their files.

Start from `wrap(model, config)`. On disk an adapter is in PEFT's own format with openpi's module names, so that
`PeftModel.from_pretrained` also loads it into openpi's and lerobot's PyTorch models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pisft.architecture.adapters import preset
from pisft.architecture.names import file_name, module_name
from pisft.canonical import read_json, write_json
from pisft.config.finetune import Lora
from pisft.model.pi0 import Pi0
from pisft.model.weights import WeightsError, fill
from pisft.tensors import save

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

ADAPTER = "default"


def wrap(model: Pi0, config: Lora) -> None:
    """Add adapters to `model` in place; only they, and what the preset trains in full, stay trainable.

    Modules whose output is never read get none. Raises `WeightsError` if a pattern matches no module.
    """
    choice = preset(config)
    linear = {
        module_name(name): name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.weight.requires_grad
    }
    sizes: dict[str, tuple[int, float]] = {}
    for pattern, size in choice.targets.items():
        matched = [name for name in linear if re.fullmatch(pattern, name)]
        if not matched:
            raise WeightsError(
                f"finetune.targets: '{pattern}' matches no linear module that gets a gradient; expected names such "
                f"as {next(iter(linear))}"
            )
        sizes |= {linear[name]: size for name in matched}
    # imported here because it takes seconds, and most runs have no adapters
    from peft import LoraConfig, inject_adapter_in_model

    peft = LoraConfig(
        r=1,
        lora_alpha=1,
        target_modules=sorted(sizes),
        rank_pattern={f"^{re.escape(name)}$": rank for name, (rank, _) in sizes.items()},
        alpha_pattern={f"^{re.escape(name)}$": alpha for name, (_, alpha) in sizes.items()},
    )
    used = {name for name, p in model.named_parameters() if p.requires_grad}
    inject_adapter_in_model(peft, model, ADAPTER)
    trained = [re.compile(pattern) for pattern in choice.train]
    for name, parameter in model.named_parameters():
        plain = plain_name(name)
        full = any(pattern.fullmatch(module_name(plain.rpartition(".")[0])) for pattern in trained)
        parameter.requires_grad_(is_adapter(name) or (full and plain in used and ".base_layer." not in name))
    for _, layer in adapted(model):
        layer.cast_input_dtype_enabled = False  # autocast casts the input, without a copy in fp32


@torch.no_grad()
def initialise(model: Pi0, config: Lora, seed: int, fill: Callable[[Tensor, Tensor], object] = Tensor.copy_) -> None:
    """Initialise the adapters from `seed`, the same on every device, by `fill(parameter, values)`."""
    generator = torch.Generator().manual_seed(seed)
    init = preset(config).init
    for _, layer in adapted(model):
        a, b = _factors(layer)
        if init == "normal":
            start = (torch.randn(w.shape, generator=generator) * 0.01 for w in (a, b))
        elif init == "gaussian":
            start = (torch.randn(a.shape, generator=generator) / a.shape[0], torch.zeros(b.shape))
        else:
            bound = a.shape[1] ** -0.5  # kaiming_uniform with a = √5
            start = ((torch.rand(a.shape, generator=generator) * 2 - 1) * bound, torch.zeros(b.shape))
        for parameter, values in zip((a, b), start, strict=True):
            fill(parameter, values)


def adapted(model: nn.Module) -> Iterator[tuple[str, LoraLayer]]:
    """Yield (name in `Pi0`, peft's LoraLayer) for each module with an adapter."""
    for name, module in model.named_modules():
        if hasattr(module, "lora_A"):
            yield name, cast("LoraLayer", module)


def _factors(layer: LoraLayer) -> tuple[Tensor, Tensor]:
    """A (rank, in) and B (out, rank) of a layer's adapter."""
    a, b = (cast(nn.Linear, part[ADAPTER]) for part in (layer.lora_A, layer.lora_B))
    return a.weight, b.weight


def is_adapter(name: str) -> bool:
    """Whether the parameter `name` belongs to an adapter."""
    return ".lora_A." in name or ".lora_B." in name


def plain_name(name: str) -> str:
    """Return the name that parameter `name` has without adapters."""
    return name.replace(".base_layer.", ".")


def merged(model: Pi0, read: Callable[[Tensor], Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield (name without adapters, value) of every weight, with adapters merged into the weights they adapt.

    `read` returns a parameter's value on the CPU. A weight with an adapter is fp32.
    """
    layers = dict(adapted(model))
    for name, parameter in model.named_parameters():
        if is_adapter(name):
            continue
        value = read(parameter)
        layer = layers.get(name.removesuffix(".base_layer.weight")) if ".base_layer." in name else None
        if layer is not None and name.endswith("weight"):
            a, b = (read(factor).float() for factor in _factors(layer))
            value = value.float() + (b @ a) * layer.scaling[ADAPTER]
        yield plain_name(name), value


def save_adapter(model: Pi0, folder: Path, read: Callable[[Tensor], Tensor], lead: bool = True) -> None:
    """Write `folder`/adapter, and trained.safetensors beside it if base weights were trained too.

    All ranks call it, since `read` may be collective; the one with `lead` writes.
    """
    tensors, sizes = {}, {}
    for name, layer in adapted(model):
        theirs = module_name(name)
        a, b = _factors(layer)
        tensors[f"base_model.model.{theirs}.lora_A.weight"] = read(a).contiguous()
        tensors[f"base_model.model.{theirs}.lora_B.weight"] = read(b).contiguous()
        sizes[theirs] = (a.shape[0], layer.lora_alpha[ADAPTER])
    trained = {
        file_name(plain_name(name)): read(p).contiguous()
        for name, p in model.named_parameters()
        if p.requires_grad and not is_adapter(name)
    }
    if not lead:
        return
    save(tensors, folder / "adapter/adapter_model.safetensors", metadata={"format": "pt"})
    if trained:
        save(trained, folder / "trained.safetensors", metadata={"format": "pt"})
    write_json(folder / "adapter/adapter_config.json", _peft_config(sizes))


def load_adapter(model: Pi0, folder: Path) -> None:
    """Fill the adapters of a wrapped `model` from PEFT's `folder`.

    What it trains in full is filled from `folder`/../trained.safetensors. Raises `WeightsError` if anything is missing,
    surplus or has another shape.
    """
    file = folder / "adapter_model.safetensors"
    expected, sizes = {}, {}
    for name, layer in adapted(model):
        theirs = module_name(name)
        for part, factor in zip(("lora_A", "lora_B"), _factors(layer), strict=True):
            expected[f"base_model.model.{theirs}.{part}.weight"] = factor
        sizes[theirs] = (_factors(layer)[0].shape[0], layer.lora_alpha[ADAPTER])
    _check_config(folder / "adapter_config.json", sizes)
    trained = {
        file_name(plain_name(name)): p
        for name, p in model.named_parameters()
        if p.requires_grad and not is_adapter(name)
    }
    _fill_file(expected, file)
    if trained:
        _fill_file(trained, folder.parent / "trained.safetensors")


def _fill_file(expected: Mapping[str, Tensor], file: Path) -> None:
    try:
        with safe_open(file, "pt") as stored:
            names = {name: name for name in stored.keys()}  # noqa: SIM118 (not a dict)
            fill(expected, names, stored, file, "this experiment's adapter")
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{file}: cannot be read as safetensors: {error}") from error


def _peft_config(sizes: dict[str, tuple[int, float]]) -> dict:
    """Return adapter_config.json for adapters with the given (rank, alpha) by module."""
    from peft import LoraConfig

    rank, alpha = next(iter(sizes.values()))
    others = {name: size for name, size in sizes.items() if size != (rank, alpha)}
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # pyright: ignore[reportArgumentType] any number scales
        target_modules=sorted(sizes),
        rank_pattern={f"^{re.escape(name)}$": r for name, (r, _) in others.items()},
        alpha_pattern={f"^{re.escape(name)}$": a for name, (_, a) in others.items()},
        inference_mode=True,
    ).to_dict()
    return {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}


def _check_config(file: Path, sizes: dict[str, tuple[int, float]]) -> None:
    stored = read_json(file, WeightsError)
    expected = _peft_config(sizes)
    for key in ("peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora"):
        if stored.get(key) != expected[key]:
            raise WeightsError(f"{file}: {key}: found {stored.get(key)}; finetune asks for {expected[key]}")
