"""Exports a checkpoint for openpi's PyTorch policy and RLinf: the weights, and the statistics where they look for them.

Start from `export(run_dir, [repo_id])`; `repo_id_of(config)` is the id for an experiment's dataset.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from pisft.atomic import link
from pisft.canonical import write_json, write_text
from pisft.config.dataset import HubDataset
from pisft.config.experiment import Resolved
from pisft.export.checkpoint import Checkpoint, ExportError, read_checkpoint, replacing
from pisft.model.weights import EMBED

PRECISIONS = {"F32": "float32", "BF16": "bfloat16"}
NORMALISATION = {"pi0": "zscore", "pi05": "quantile"}  # openpi chooses it by the model


def repo_id_of(config: Resolved) -> str:
    """Return the id that statistics are looked up under.

    That is the format's `asset_id`, else the first hub dataset's repo, else the first dataset's name, made valid on the
    hub.
    """
    if config.format.asset_id is not None:
        return config.format.asset_id
    repos = [use.origin.repo for use in config.datasets if isinstance(use.origin, HubDataset)]
    return [*repos, config.datasets[0].name.replace("~", "-")][0]


def export(run_dir: Path, repo_ids: Sequence[str]) -> list[str]:
    """Write `run_dir`/export/openpi from the checkpoint beside it; returns notes for users of openpi and RLinf.

    The statistics go to `<repo_id>/` (RLinf) and `assets/<repo_id>/` (openpi) for each of `repo_ids`. Raises
    `ExportError`; an existing export is replaced only by a complete one.
    """
    for repo_id in repo_ids:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", repo_id):
            raise ExportError(f"repo id: found '{repo_id}'; expected owner/name or name, as on the hub")
    checkpoint = read_checkpoint(run_dir)
    notes = differences(checkpoint)
    with replacing(run_dir / "export/openpi") as folder:
        link(checkpoint.weights, folder / "model.safetensors")
        for repo_id in repo_ids:
            for place in (folder / repo_id, folder / "assets" / repo_id):
                place.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(checkpoint.folder / "norm_stats.json", place / "norm_stats.json")
        # openpi's converter writes this for reference; nothing reads it
        write_json(
            folder / "config.json",
            {
                "action_dim": checkpoint.model.action_dim,
                "action_horizon": checkpoint.model.action_horizon,
                "paligemma_variant": "gemma_2b" if checkpoint.published_size else None,
                "action_expert_variant": "gemma_300m" if checkpoint.published_size else None,
                "precision": _precision(checkpoint.weights),
            },
        )
        write_text(folder / "README.md", _readme(run_dir.name, checkpoint, repo_ids, notes))
    return notes


def differences(checkpoint: Checkpoint) -> list[str]:
    """Return how openpi's stock policy differs from pi-sft, each with what to do about it."""
    model, fmt = checkpoint.model, checkpoint.format
    notes = []
    if not checkpoint.published_size:
        notes.append(
            "Size: openpi's PyTorch model has only the published dimensions (So400m/14, gemma_2b, gemma_300m), which "
            "this model does not have. Run pi-sft's own policy (pisft.evaluate.policy.Policy)."
        )
    if checkpoint.unknown_settings:
        keys = ", ".join(checkpoint.unknown_settings)
        notes.append(f"Format: {keys}: openpi's data config must do the same.")
    if fmt.normalisation != NORMALISATION[model.variant]:
        notes.append(
            f"Normalisation: this model was trained with {fmt.normalisation}; openpi takes "
            f"{NORMALISATION[model.variant]} for {model.variant}. Set use_quantile_norm to "
            f"{fmt.normalisation == 'quantile'} in the data config that it creates."
        )
    if model.tokenizer.kind == "bytes":
        notes.append("Tokenizer: this model reads bytes, openpi's PaliGemma tokens. Run pi-sft's own policy.")
    if fmt.prompt.default is not None:
        notes.append(f"Prompt: pass default_prompt={fmt.prompt.default!r} to create_trained_policy.")
    return notes


def _precision(weights: Path) -> str:
    try:
        with safe_open(weights, "np") as stored:
            dtype: str = stored.get_slice(EMBED).get_dtype()
    except (OSError, SafetensorError) as error:
        raise ExportError(f"{weights}: cannot be read as safetensors in openpi's layout: {error}") from error
    return PRECISIONS.get(dtype, dtype)


def _readme(name: str, checkpoint: Checkpoint, repo_ids: Sequence[str], notes: list[str]) -> str:
    model, fmt = checkpoint.model, checkpoint.format
    pi05 = f", pi05=True, discrete_state_input={fmt.discrete_state_input}" if model.variant == "pi05" else ""
    cameras = ", ".join(f"`{key}` as {slot}" for slot, key in sorted(fmt.cameras.items())) or "none"
    delta = ", ".join(map(str, fmt.delta_mask)) or "none"
    ids = ", ".join(f"`{repo_id}`" for repo_id in repo_ids)
    lines = "\n".join(f"- {note}" for note in notes)
    section = f"\n## What stock openpi does otherwise\n\n{lines}\n" if notes else ""
    return f"""# {name}, for openpi and RLinf

Exported by pi-sft from `results/{name}/checkpoint/`. openpi's `create_trained_policy` and RLinf's `model_path` take
this folder. The config that goes with it has

- model: `Pi0Config(action_dim={model.action_dim}, action_horizon={model.action_horizon}, \
max_token_len={model.max_token_len}{pi05})`
- cameras: {cameras}; delta mask: {delta}
- asset id (openpi), repo id (RLinf): {ids}. RLinf looks under the id of its registry's config, whatever the dataset's
  was: `python scripts/export_openpi.py results/{name}/config.json --repo-id <id>` puts the statistics there too.
{section}"""
