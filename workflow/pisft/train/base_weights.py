"""Locates the base weights that training starts from. Start from `base_path`."""

from __future__ import annotations

from pathlib import Path

from pisft.config.experiment import Resolved
from pisft.data.sources.hub import fetch_file
from pisft.train.errors import TrainingError


def base_path(config: Resolved, root: Path) -> Path:
    """Return the file or folder with the base weights; from the hub, only model.safetensors is fetched, into its cache.

    Raises `TrainingError` if the file cannot be fetched.
    """
    if (base := config.model.weights) is None:
        raise TrainingError("model.base: found scratch; expected base weights")
    if base.path is not None:
        return root / Path(base.path).expanduser()
    if base.experiment is not None:
        return root / f"results/{base.experiment}/checkpoint"
    if base.repo is None or base.revision is None:  # openpi's own, converted
        return root / f"data/base/{config.model_name}"
    try:
        return fetch_file(base.repo, "model.safetensors", base.revision)
    except Exception as error:  # the hub client raises a dozen types, all with one remedy
        raise TrainingError(
            f"model.base: model.safetensors of {base.repo} at {base.revision} cannot be fetched: "
            f"{' '.join(str(error).split())[:300]}; log in with `hf auth login` if it is gated, or download it and "
            "name its folder as model.base.path"
        ) from error
