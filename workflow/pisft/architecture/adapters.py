"""Which modules get an adapter under LoRA, and what trains in full besides. Start from `preset`."""

from __future__ import annotations

from dataclasses import dataclass

from pisft.architecture.names import EXPERT, VLM
from pisft.config.finetune import Lora

PROJECTIONS = r"(state_proj|action_in_proj|action_out_proj|(action_)?time_mlp_(in|out))"
LINEAR = r"(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"


@dataclass(frozen=True)
class Preset:
    """Regular expressions over openpi's module names, and how the adapters are initialised.

    `targets` maps each pattern to its (rank, alpha); modules that match `train` are trained in full.
    """

    targets: dict[str, tuple[int, float]]
    train: tuple[str, ...]
    init: str  # of A: normal (std 0.01, B too), gaussian (std 1 / rank) or kaiming (PEFT's default)


PRESETS = {
    # models/pi0_config.py: get_freeze_filter with both _lora variants; lora.py draws A and B from one distribution.
    # There each head has factors of its own, which PEFT cannot express: here the heads share them.
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
    # policies/pi0/modeling_pi0.py: _get_default_peft_targets; π₀.₅'s list is the same and so lacks its time_mlp
    "lerobot": Preset(
        {
            rf"{EXPERT}\..*\.self_attn\.[qv]_proj": (16, 8.0),
            r"(state_proj|action_in_proj|action_out_proj|action_time_mlp_(in|out))": (16, 8.0),
        },
        (),
        "kaiming",
    ),
}
OWN = (32, 32.0)  # default rank and alpha of targets given as patterns


def preset(config: Lora) -> Preset:
    """Return the preset or patterns of `config`, with its own rank and alpha in place of the preset's."""
    if isinstance(config.targets, str):
        chosen = PRESETS[config.targets]
    else:
        chosen = Preset(dict.fromkeys(config.targets, OWN), (), "gaussian")
    targets = {
        pattern: (config.rank or rank, config.alpha or (alpha if config.rank is None else float(config.rank)))
        for pattern, (rank, alpha) in chosen.targets.items()
    }
    return Preset(targets, (*chosen.train, *config.train), chosen.init)
