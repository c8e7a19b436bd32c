"""Exports a checkpoint for lerobot 0.6: weights, config.json, and both processor pipelines with their statistics.

Start from `export(run_dir)`. Nothing of lerobot is imported, so the files do not depend on the machine, and the gated
tokenizer is not needed. A pipeline's file lists its steps, so they may differ from those that lerobot chooses for a new
policy: the prompt without the state, for example, is π₀'s step in π₀.₅'s pipeline.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pisft.canonical import write_text
from pisft.config.format import Slot
from pisft.data.statistics.normalise import EPS, Method, Stats
from pisft.data.transforms.format import Format
from pisft.data.transforms.tokenizer import PALIGEMMA_REPO
from pisft.evaluate.policy import SAMPLING_STEPS
from pisft.export.checkpoint import Checkpoint, read_checkpoint, replacing
from pisft.export.lerobot_readme import differences, readme
from pisft.export.tokenizer import write_bytes_tokenizer
from pisft.export.weights import copy_weights
from pisft.tensors import save

STATE, ACTION = "observation.state", "action"
PREPROCESSOR, POSTPROCESSOR = "policy_preprocessor", "policy_postprocessor"
MODES = {"zscore": "MEAN_STD", "quantile": "QUANTILES"}
# Generated names of action dims: lerobot chooses relative dims by name, and these names reproduce the delta mask.
RELATIVE, ABSOLUTE = "relative", "absolute"
NO_VARIANT = "none of lerobot's, see README.md"


def export(run_dir: Path, replan_steps: int | None = None) -> list[str]:
    """Write `run_dir`/export/lerobot from the checkpoint beside it; returns how stock lerobot differs, in sentences.

    `replan_steps` actions of a chunk are executed before the next inference (all, by default), or one if actions are
    relative to the state. Raises `ExportError`; an existing export is replaced only by a complete one.
    """
    checkpoint = read_checkpoint(run_dir).unpadded()
    final = run_dir / "export/lerobot"
    tokenizer = PALIGEMMA_REPO
    if checkpoint.model.tokenizer.kind == "bytes":
        tokenizer = (final / "tokenizer").relative_to(run_dir.parents[1]).as_posix()
    cameras = camera_keys(checkpoint)
    notes = differences(checkpoint, cameras, tokenizer)
    with replacing(final) as folder:
        copy_weights(checkpoint.weights, folder / "model.safetensors")
        _write_ordered(folder / "config.json", config(checkpoint, replan_steps))
        for name, steps in (
            (PREPROCESSOR, preprocessor(checkpoint, tokenizer)),
            (POSTPROCESSOR, postprocessor(checkpoint)),
        ):
            _write_pipeline(folder, name, steps, checkpoint)
        if checkpoint.model.tokenizer.kind == "bytes":
            write_bytes_tokenizer(folder / "tokenizer", checkpoint.format.discrete_state_input)
        write_text(folder / "README.md", readme(run_dir.name, checkpoint, cameras, notes))
    return notes


def camera_keys(checkpoint: Checkpoint) -> dict[Slot, str]:
    """Return slot → lerobot's key, in the slots' order: the dataset's own key if lerobot recognises it as an image."""
    cameras = checkpoint.format.cameras

    def key(slot: Slot) -> str:
        own = cameras[slot]
        fits = own == "observation.image" or own.startswith("observation.images.")
        return own if fits and list(cameras.values()).count(own) == 1 else f"observation.images.{slot}"

    return {slot: key(slot) for slot in sorted(cameras)}  # openpi's order is alphabetical


def config(checkpoint: Checkpoint, replan_steps: int | None) -> dict[str, Any]:
    """Return lerobot's config.json; what it leaves out is lerobot's default, which is openpi's too."""
    model, fmt = checkpoint.model, checkpoint.format
    mode = MODES[fmt.normalisation]
    features = _features(checkpoint)
    known = checkpoint.published_size
    return {
        "type": model.variant,
        # where shapes differ lerobot would continue with random weights: an invalid name makes it fail instead
        "paligemma_variant": "gemma_2b" if known else NO_VARIANT,
        "action_expert_variant": "gemma_300m" if known else NO_VARIANT,
        "dtype": "float32",
        "n_obs_steps": 1,
        "chunk_size": model.action_horizon,
        # lerobot's select_action adds the state at an action's own step, not at its chunk's first step
        "n_action_steps": 1 if fmt.delta_mask else replan_steps or model.action_horizon,
        "max_state_dim": model.action_dim,
        "max_action_dim": model.action_dim,
        "num_inference_steps": SAMPLING_STEPS,
        "image_resolution": [model.image_size, model.image_size],
        "empty_cameras": 0,  # leaving a slot out is the same as masking it
        "tokenizer_max_length": model.max_token_len,
        "input_features": {key: feature for key, feature in features.items() if key != ACTION},
        "output_features": {ACTION: features[ACTION]},
        "normalization_mapping": {"VISUAL": "IDENTITY", "STATE": mode, "ACTION": mode},
        "use_relative_actions": bool(fmt.delta_mask),
        "relative_exclude_joints": [ABSOLUTE],
        "action_feature_names": _action_names(checkpoint) if fmt.delta_mask else None,
    }


def preprocessor(checkpoint: Checkpoint, tokenizer: str) -> list[dict[str, Any]]:
    """Return the steps from an observation to the model's inputs, by their names in lerobot's registry."""
    fmt = checkpoint.format
    prompt = "pi0_new_line_processor", {}
    if fmt.discrete_state_input:
        prompt = "pi05_prepare_state_tokenizer_processor_step", {"max_state_dim": checkpoint.model.action_dim}
    relative = {
        "enabled": bool(fmt.delta_mask),
        "exclude_joints": [ABSOLUTE],
        "action_names": _action_names(checkpoint) if fmt.delta_mask else None,
    }
    tokens = {
        "max_length": checkpoint.model.max_token_len,
        "task_key": "task",
        "padding_side": "right",
        "padding": "max_length",
        "truncation": True,
        "tokenizer_name": tokenizer,
    }
    return [
        _step("rename_observations_processor", {"rename_map": {}}),
        _step("to_batch_processor", {}),
        _step("relative_actions_processor", relative),
        _step("normalizer_processor", _normalisation(checkpoint, _features(checkpoint))),
        _step(*prompt),
        _step("tokenizer_processor", tokens),
        _step("device_processor", {"device": "cpu", "float_dtype": None}),
    ]


def postprocessor(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """Return the steps from the model's chunk to robot actions."""
    features = {ACTION: _features(checkpoint)[ACTION]}
    return [
        _step("unnormalizer_processor", _normalisation(checkpoint, features)),
        _step("absolute_actions_processor", {"enabled": bool(checkpoint.format.delta_mask)}),
        _step("device_processor", {"device": "cpu", "float_dtype": None}),
    ]


def folded(stats: Stats, method: Method) -> dict[str, np.ndarray]:
    """Return statistics, float32 (d,), for which lerobot's formulas without epsilon equal openpi's with epsilon."""
    if method == "zscore":
        return {"mean": stats.mean.astype(np.float32), "std": (stats.std + EPS).astype(np.float32)}
    q01 = stats.q01.astype(np.float32)
    # from the rounded q01, so that the range is exact: in a constant dim it is epsilon alone
    return {"q01": q01, "q99": (q01 + (stats.q99 - stats.q01 + EPS)).astype(np.float32)}


def _features(checkpoint: Checkpoint) -> dict[str, Any]:
    size = checkpoint.model.image_size
    images = {key: {"type": "VISUAL", "shape": [3, size, size]} for key in camera_keys(checkpoint).values()}
    return images | {
        STATE: {"type": "STATE", "shape": [len(checkpoint.stats.state.mean)]},
        ACTION: {"type": "ACTION", "shape": [len(checkpoint.stats.actions.mean)]},
    }


def _action_names(checkpoint: Checkpoint) -> list[str]:
    relative = Format(checkpoint.format).relative_dims
    dims = range(len(checkpoint.stats.actions.mean))
    return [f"{RELATIVE if dim in relative else ABSOLUTE} {dim}" for dim in dims]


def _normalisation(checkpoint: Checkpoint, features: dict[str, Any]) -> dict[str, Any]:
    mode = MODES[checkpoint.format.normalisation]
    return {
        # MEAN_STD adds it to std; QUANTILES uses it in place of a range of zero
        "eps": 0.0 if mode == "MEAN_STD" else EPS,
        "features": features,
        "norm_map": {"VISUAL": "IDENTITY", "STATE": mode, "ACTION": mode},
    }


def _step(name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"registry_name": name, "config": config}


def _write_pipeline(folder: Path, name: str, steps: list[dict[str, Any]], checkpoint: Checkpoint) -> None:
    method = checkpoint.format.normalisation
    stats = {STATE: checkpoint.stats.state, ACTION: checkpoint.stats.actions}
    for place, step in enumerate(steps):
        if step["registry_name"] in ("normalizer_processor", "unnormalizer_processor"):
            step["state_file"] = f"{name}_step_{place}_{step['registry_name']}.safetensors"
            tensors = {f"{key}.{q}": v for key, field in stats.items() for q, v in folded(field, method).items()}
            save(tensors, folder / step["state_file"])
    _write_ordered(folder / f"{name}.json", {"name": name, "steps": steps})


def _write_ordered(path: Path, content: Any) -> None:
    """Write JSON with its keys in order, since the order of the cameras is their order in the model."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
