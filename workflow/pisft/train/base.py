"""Where the weights lie that training starts from, and the statistics that belong to them. Start from `base_path`."""

from __future__ import annotations

from pathlib import Path

from pisft.config.experiment import Resolved
from pisft.data.hub import fetch_file
from pisft.train.errors import TrainingError

STATS = "norm_stats.json", "assets/**/norm_stats.json", "policy_preprocessor_step_*_normalizer_processor.safetensors"


def base_path(config: Resolved, root: Path) -> Path:
    """The file or folder with the base weights; from the hub only model.safetensors is fetched, into its own cache."""
    base = config.model.base
    if base.path is not None:
        return root / Path(base.path).expanduser()
    if base.experiment is not None:
        return root / f"results/{base.experiment}/checkpoint"
    if base.orbax is not None:
        return root / f"data/base/{config.model_name}"
    try:
        return fetch_file(base.repo, "model.safetensors", base.revision)
    except Exception as error:  # the hub client raises a dozen types, all with one remedy
        raise TrainingError(
            f"model.base: model.safetensors of {base.repo} at {base.revision} cannot be fetched: "
            f"{' '.join(str(error).split())[:300]}; log in with `hf auth login` if it is gated, or download it and "
            "name its folder as model.base.path"
        ) from error


def base_stats(config: Resolved, root: Path) -> Path:
    """The statistics that the base weights were trained with: norm_stats.json beside them or in openpi's `assets/*/`,
    or the file of lerobot's preprocessor."""
    if (base := config.model.base.experiment) is not None:
        return root / f"results/{base}/norm_stats.json"  # there before the checkpoint is
    folder = base_path(config, root)
    found = [path for place in STATS for path in sorted(folder.glob(place)) if path.is_file()]
    if len(found) != 1:
        raise TrainingError(
            f"norm_stats.from: base: {folder}: found {len(found)} files of statistics; expected one, "
            f"beside the weights: {' or '.join(STATS)}"
        )
    return found[0]
