"""A checkpoint as a lerobot policy: what `PI0Policy.from_pretrained` and `make_pre_post_processors` load.

Start from `export(checkpoint, folder)`. lerobot's processors compute a little differently; what can be is folded into
the statistics and the steps that are written, and what cannot be is told in the folder's README.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pisft.data.normalise import EPS
from pisft.data.tokenizer import PALIGEMMA_REPO
from pisft.export.checkpoint import Checkpoint, replacing, write_json
from pisft.model.weights import EMBED, EMBEDDING

THEIR_EPSILON = 1e-8  # of lerobot's z-score
KNOWN = {"width": (2048, 1024), "depth": 18, "vision": 1152}  # the only dimensions that lerobot builds


def export(checkpoint: Checkpoint, folder: Path, replan_steps: int | None = None) -> list[str]:
    """Write `folder`; the lines of its README, each something that lerobot must be told or cannot do.

    `replan_steps` is how many actions of a chunk lerobot executes, or all.
    """
    with replacing(folder) as new:
        _write_weights(checkpoint.weights, new / "model.safetensors")
        write_json(new / "config.json", policy_config(checkpoint, replan_steps))
        if checkpoint.model.tokenizer.kind == "bytes":
            _save_bytes_tokenizer(new / "tokenizer", checkpoint.model.max_token_len)
        before, after = processors(checkpoint)
        for name, steps in (("policy_preprocessor", before), ("policy_postprocessor", after)):
            described = []
            for place, (step, config, state) in enumerate(steps):
                described.append({"registry_name": step, "config": config})
                if state is not None:
                    described[-1]["state_file"] = f"{name}_step_{place}_{step}.safetensors"
                    save_file(state, new / described[-1]["state_file"])
            write_json(new / f"{name}.json", {"name": name, "steps": described})
        notes = limits(checkpoint)
        (new / "README.md").write_text(_readme(checkpoint, notes))
    return notes


def policy_config(checkpoint: Checkpoint, replan_steps: int | None) -> dict[str, Any]:
    """lerobot's config.json; features are in openpi's slot order, and missing slots are none."""
    model, mode = checkpoint.model, _mode(checkpoint)
    return {
        "type": model.variant,
        "device": "cpu",
        "dtype": "float32",
        "chunk_size": model.action_horizon,
        "n_action_steps": min(replan_steps or model.action_horizon, model.action_horizon),
        "max_state_dim": model.action_dim,
        "max_action_dim": model.action_dim,
        "image_resolution": [model.image_size, model.image_size],
        "tokenizer_max_length": model.max_token_len,
        "use_relative_actions": bool(checkpoint.format.relative_dims),
        "relative_exclude_joints": ["absolute"],
        "action_feature_names": _action_names(checkpoint),
        "normalization_mapping": {"VISUAL": "IDENTITY", "STATE": mode, "ACTION": mode},
        "input_features": _features(checkpoint, actions=False),
        "output_features": {"action": _features(checkpoint, actions=True)["action"]},
    }


def processors(checkpoint: Checkpoint) -> tuple[list, list]:
    """(steps before, steps after) the model: (registered name, config, tensors or None) of each."""
    config, model = checkpoint.format.config, checkpoint.model
    mode = _mode(checkpoint)
    normalise = {
        "eps": THEIR_EPSILON,
        "features": _features(checkpoint, actions=True),
        "norm_map": {"VISUAL": "IDENTITY", "STATE": mode, "ACTION": mode},
    }
    relative = {
        "enabled": bool(checkpoint.format.relative_dims),
        "exclude_joints": ["absolute"],
        "action_names": _action_names(checkpoint),
    }
    renamed = {key: f"observation.images.{slot}" for slot, key in config.cameras.items()}
    if len(config.state) == 1 and config.state[0].dims is None:
        renamed[config.state[0].key] = "observation.state"
    tokenizer = {
        "max_length": model.max_token_len,
        "task_key": "task",
        "padding_side": "right",
        "padding": "max_length",
        "truncation": True,
        "tokenizer_name": "tokenizer" if model.tokenizer.kind == "bytes" else PALIGEMMA_REPO,
    }
    # π₀.₅'s own step writes the state into the prompt; without it, the prompt is π₀'s
    prompt = ("smolvla_new_line_processor", {}, None)
    if config.discrete_state_input:
        prompt = ("pi05_prepare_state_tokenizer_processor_step", {"max_state_dim": model.action_dim}, None)
    before = [
        ("rename_observations_processor", {"rename_map": {a: b for a, b in renamed.items() if a != b}}, None),
        ("to_batch_processor", {}, None),
        ("relative_actions_processor", relative, None),
        ("normalizer_processor", normalise, _statistics(checkpoint, ("observation.state", "action"))),
        prompt,
        ("tokenizer_processor", tokenizer, None),
        ("device_processor", {"device": "cpu", "float_dtype": None}, None),
    ]
    unnormalise = normalise | {"features": {"action": normalise["features"]["action"]}}
    after = [
        ("unnormalizer_processor", unnormalise, _statistics(checkpoint, ("action",))),
        ("absolute_actions_processor", {"enabled": relative["enabled"]}, None),
        ("device_processor", {"device": "cpu", "float_dtype": None}, None),
    ]
    return before, after


def limits(checkpoint: Checkpoint) -> list[str]:
    """What stock lerobot must be told, or cannot do, with this checkpoint."""
    model, config = checkpoint.model, checkpoint.format.config
    notes = []
    if ((model.vlm.width, model.expert.width), model.depth, model.vision.width) != tuple(KNOWN.values()):
        notes.append(
            "These dimensions are not gemma_2b with gemma_300m: lerobot builds no others, so stock lerobot cannot "
            "load the weights. Run the checkpoint with pi-sft (scripts/evaluate.py)."
        )
    if model.tokenizer.kind == "bytes":
        notes.append(
            "The tokenizer lies in tokenizer/ of this folder, and lerobot looks names up from where it is started: "
            'pass preprocessor_overrides={"tokenizer_processor": {"tokenizer_name": "<this folder>/tokenizer"}}.'
        )
    keys = [*config.cameras.values(), *(source.key for source in config.state)]
    if len(config.state) > 1 or config.state[0].dims is not None:
        parts = " + ".join(s.key if s.dims is None else f"{s.key}[{s.dims[0]}:{s.dims[1]}]" for s in config.state)
        notes.append(f"The state is put together: feed {parts}, concatenated, as observation.state.")
    if any(not key.startswith("observation.") for key in keys):
        slots = ", ".join(f"{key} as observation.images.{slot}" for slot, key in config.cameras.items())
        notes.append(
            f"lerobot passes on only keys that begin with observation.: feed {slots}, the state as observation.state."
        )
    if not config.cameras:
        notes.append("This policy has no camera; lerobot insists on one, and cannot run it.")
    if not config.prompt.from_task:
        notes.append(f"The prompt is always {config.prompt.default!r}: feed it as task.")
    notes.append(
        "Prompts must be clean: lerobot does not strip them, nor turn `_` and newlines into spaces"
        + ("." if config.discrete_state_input else " (π₀.₅'s state step, which would, is not part of this policy).")
    )
    return notes


def _mode(checkpoint: Checkpoint) -> str:
    return {"zscore": "MEAN_STD", "quantile": "QUANTILES"}[checkpoint.format.config.normalisation]


def _action_names(checkpoint: Checkpoint) -> list[str]:
    """Names that make lerobot's relative actions those of our delta mask."""
    relative = set(checkpoint.format.relative_dims)
    dims = len(checkpoint.stats.actions.mean)
    return [f"{'relative' if i in relative else 'absolute'}_{i}" for i in range(dims)]


def _features(checkpoint: Checkpoint, actions: bool) -> dict[str, Any]:
    size = checkpoint.model.image_size
    found = {
        f"observation.images.{slot}": {"type": "VISUAL", "shape": [3, size, size]}
        for slot in checkpoint.format.config.cameras
    }
    found["observation.state"] = {"type": "STATE", "shape": [len(checkpoint.stats.state.mean)]}
    if actions:
        found["action"] = {"type": "ACTION", "shape": [len(checkpoint.stats.actions.mean)]}
    return found


def _statistics(checkpoint: Checkpoint, keys: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Statistics with which lerobot's formulas give what ours give: our epsilons are part of them."""
    tensors = {}
    for key in keys:
        stats = checkpoint.stats.actions if key == "action" else checkpoint.stats.state
        # an action's inverse adds no epsilon there, and a state's z-score adds lerobot's
        std = stats.std + EPS - (0.0 if key == "action" else THEIR_EPSILON)
        values = {"mean": stats.mean, "std": std, "q01": stats.q01, "q99": stats.q99 + EPS}
        tensors |= {f"{key}.{name}": torch.tensor(value, dtype=torch.float32) for name, value in values.items()}
    return tensors


def _write_weights(source: Path, target: Path) -> None:
    with safe_open(source, "pt") as stored:
        tensors = {f"model.{name}": stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
    tensors[f"model.{EMBEDDING}"] = tensors[f"model.{EMBED}"].clone()
    save_file(tensors, target, metadata={"format": "pt"})


def _save_bytes_tokenizer(folder: Path, max_token_len: int) -> None:
    """The `bytes` tokenizer in the Hugging Face format: 0 pads, 1 is BOS, 2 + b is the byte b."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    vocabulary = {"<pad>": 0, "<bos>": 1} | {letter: 2 + byte for byte, letter in bytes_to_unicode().items()}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", model_max_length=max_token_len
    )
    fast.save_pretrained(folder)


def _readme(checkpoint: Checkpoint, notes: list[str]) -> str:
    policy = {"pi0": "PI0Policy", "pi05": "PI05Policy"}[checkpoint.model.variant]
    module = f"lerobot.policies.{checkpoint.model.variant}.modeling_{checkpoint.model.variant}"
    lines = [
        "# A lerobot policy",
        "",
        "```python",
        f"from {module} import {policy}",
        "from lerobot.policies.factory import make_pre_post_processors",
        "",
        f'policy = {policy}.from_pretrained("<this folder>")',
        'before, after = make_pre_post_processors(policy.config, pretrained_path="<this folder>")',
        "actions = after(policy.predict_action_chunk(before(observation)))",
        "```",
        "",
        *(f"- {note}" for note in notes),
    ]
    return "\n".join(lines) + "\n"
