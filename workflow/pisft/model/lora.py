"""Low-rank adapters on a `Pi0`, by peft: which modules get one, their start, and their files.

Start from `wrap(model, config)`. On disk an adapter is PEFT's own format over openpi's module names, so that
`PeftModel.from_pretrained` puts it on openpi's and lerobot's PyTorch models too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pisft.canonical import write_json
from pisft.config.experiment import Lora
from pisft.model.pi0 import Pi0
from pisft.model.weights import EXPERT, VLM, WeightsError, file_name, fill
from pisft.tensors import save

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

ADAPTER = "default"
PROJECTIONS = r"(state_proj|action_in_proj|action_out_proj|(action_)?time_mlp_(in|out))"
LINEAR = r"(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"


@dataclass(frozen=True)
class Preset:
    """Regular expressions over openpi's module names, and how the adapters begin.

    `targets` gives each pattern its (rank, alpha).
    """

    targets: dict[str, tuple[int, float]]
    train: tuple[str, ...]
    init: str  # of A: normal (std 0.01, and B too), gaussian (std 1 / rank) or kaiming (PEFT's default)


PRESETS = {
    # models/pi0_config.py: get_freeze_filter with both _lora variants; lora.py draws A and B alike. There each head
    # has factors of its own, which PEFT has no form for: here they are shared.
    "openpi": Preset(
        {
            rf"{VLM}\.model\.language_model\.layers\.\d+\.{LINEAR}": (16, 16.0),
            rf"{EXPERT}\.model\.layers\.\d+\.{LINEAR}": (32, 32.0),
        },
        (rf"{VLM}\.model\.(vision_tower|multi_modal_projector)\..*", PROJECTIONS),
        "normal",
    ),
    # models/embodiment/openpi: PEFT around `paligemma`, everything outside it trains
    "rlinf": Preset(
        {rf"{VLM}\.model\.(vision_tower|language_model)\..*\.({LINEAR}|self_attn\.out_proj|mlp\.fc[12])": (32, 32.0)},
        (rf"{EXPERT}\..*", PROJECTIONS),
        "gaussian",
    ),
    # policies/pi0/modeling_pi0.py: _get_default_peft_targets; π₀.₅'s has the same list, in which its time_mlp is not
    "lerobot": Preset(
        {
            rf"{EXPERT}\..*\.self_attn\.[qv]_proj": (16, 8.0),
            r"(state_proj|action_in_proj|action_out_proj|action_time_mlp_(in|out))": (16, 8.0),
        },
        (),
        "kaiming",
    ),
}
OWN = (32, 32.0)  # rank and alpha of targets that are given as patterns


def preset(config: Lora) -> Preset:
    """The choice that `config` makes, its own values over the preset's."""
    if isinstance(config.targets, str):
        chosen = PRESETS[config.targets]
    else:
        chosen = Preset(dict.fromkeys(config.targets, OWN), (), "gaussian")
    targets = {
        pattern: (config.rank or rank, config.alpha or (alpha if config.rank is None else float(config.rank)))
        for pattern, (rank, alpha) in chosen.targets.items()
    }
    return Preset(targets, (*chosen.train, *config.train), chosen.init)


def wrap(model: Pi0, config: Lora) -> None:
    """Put adapters on `model` in place and leave only them, and what the preset trains in full, trainable.

    Modules whose output nothing reads get none. Raises `WeightsError` where a pattern matches no module.
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
    # where it is used: importing peft takes seconds, and most runs have no adapters
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
        layer.cast_input_dtype_enabled = False  # autocast does it, without a copy in fp32


@torch.no_grad()
def initialise(model: Pi0, config: Lora, seed: int, fill: Callable[[Tensor, Tensor], object] = Tensor.copy_) -> None:
    """Draw the adapters' start from `seed`, the same on every device; `fill(parameter, values)` puts it in place."""
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
    """(our name, peft's LoraLayer) of each module with an adapter."""
    for name, module in model.named_modules():
        if hasattr(module, "lora_A"):
            yield name, cast("LoraLayer", module)


def _factors(layer: LoraLayer) -> tuple[Tensor, Tensor]:
    """A (rank, in) and B (out, rank) of a layer's adapter."""
    a, b = (cast(nn.Linear, part[ADAPTER]) for part in (layer.lora_A, layer.lora_B))
    return a.weight, b.weight


def is_adapter(name: str) -> bool:
    """Whether the parameter `name` is part of an adapter."""
    return ".lora_A." in name or ".lora_B." in name


def plain_name(name: str) -> str:
    """The name that parameter `name` has without adapters."""
    return name.replace(".base_layer.", ".")


def module_name(ours: str) -> str:
    """openpi's name of our module `ours`."""
    return file_name(f"{ours}.").removesuffix(".")


def merged(model: Pi0, read: Callable[[Tensor], Tensor]) -> Iterator[tuple[str, Tensor]]:
    """(name without adapters, value) of every weight, adapters added to what they adapt; `read` gives a parameter's
    value on the CPU. A weight with an adapter is fp32."""
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
    """Write `folder`/adapter, and trained.safetensors beside it where base weights were trained too.

    All processes call it, since `read` may be collective; the one that has the `lead` writes.
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
    """Fill the adapters of a wrapped `model` from PEFT's `folder`, and what it trains in full from
    `folder`/../trained.safetensors; strictly: anything missing, surplus or of another shape is a `WeightsError`."""
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
    """adapter_config.json of adapters of the given (rank, alpha), by module."""
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
    try:
        stored = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file}: cannot be read: {error}") from error
    expected = _peft_config(sizes)
    for key in ("peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora"):
        if stored.get(key) != expected[key]:
            raise WeightsError(f"{file}: {key}: found {stored.get(key)}; finetune asks for {expected[key]}")
