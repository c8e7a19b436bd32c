"""What every export starts from and ends with: `read_checkpoint`, and `replacing` the folder that it writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pisft.atomic import new_folder
from pisft.config.base import read_yaml
from pisft.config.format import FormatConfig
from pisft.config.model import ModelConfig
from pisft.data.statistics.norm_stats import NormStats
from pisft.data.statistics.norm_stats import load as load_norm_stats
from pisft.data.statistics.normalise import Stats
from pisft.errors import PisftError
from pisft.records.base import RecordError
from pisft.records.checkpoint import CheckpointIndex

# The dimensions of the published π₀ and π₀.₅, the only ones that lerobot and openpi's PyTorch models are built with.
PUBLISHED = {
    "vision": {"width": 1152, "depth": 27, "mlp": 4304, "heads": 16, "patch": 14},
    "depth": 18,
    "heads": 8,
    "kv_heads": 1,
    "head_dim": 256,
    "vlm": {"width": 2048, "mlp": 16384},
    "expert": {"width": 1024, "mlp": 4096},
    "vocab_size": 257152,
}
FILES = ("model.safetensors", "norm_stats.json", "model.json", "format.json")
# What the exports know how to carry over or to explain; see `unknown_settings`.
KNOWN_SETTINGS = {
    "cameras",
    "state",
    "actions",
    "delta_mask",
    "normalisation",
    "discrete_state_input",
    "prompt",
    "action_horizon",
    "features",
    "fps",
    "action_type",
    "short_episodes",
    "asset_id",
}


class ExportError(PisftError):
    """A checkpoint that cannot be exported, or an export that cannot be written."""


@dataclass(frozen=True)
class Checkpoint:
    """`results/<exp>/checkpoint/`, read but for its weights, which no export holds in memory."""

    folder: Path
    model: ModelConfig
    format: FormatConfig
    stats: NormStats

    @property
    def weights(self) -> Path:
        """The safetensors file in openpi's layout."""
        return self.folder / "model.safetensors"

    def unpadded(self) -> Checkpoint:
        """The same without `pad_to` where that is the same: a z-score leaves a padded zero a zero."""
        if self.format.pad_to is None or self.format.normalisation != "zscore":
            return self

        def real(name: str) -> Stats:
            dims = self.format.width(getattr(self.format, name))
            return Stats(**{key: value[:dims] for key, value in vars(getattr(self.stats, name)).items()})

        return replace(
            self,
            format=self.format.model_copy(update={"pad_to": None}),
            stats=NormStats(state=real("state"), actions=real("actions")),
        )

    @property
    def published_size(self) -> bool:
        """Whether its dimensions are those that others can build."""
        return self.model.model_dump(include=set(PUBLISHED)) == PUBLISHED

    @property
    def unknown_settings(self) -> list[str]:
        """Keys of the format that are set and that no export knows; empty unless a format learns something new."""
        fields = type(self.format).model_fields
        rotated = any(source.rotation for source in [*self.format.state, *self.format.actions])
        return (
            sorted(
                key
                for key in fields.keys() - KNOWN_SETTINGS
                if getattr(self.format, key) != fields[key].get_default(call_default_factory=True)
            )
            + ["rotation"] * rotated
        )


def read_checkpoint(run_dir: Path) -> Checkpoint:
    """The checkpoint of `results/<exp>`; one that is missing or not what checkpoint.json says is an `ExportError`."""
    folder, index = run_dir / "checkpoint", run_dir / "checkpoint.json"
    remedy = f"run: snakemake results/{run_dir.name}/checkpoint.json"
    try:
        files = CheckpointIndex.read(index).files
        for name in FILES:
            size, expected = (folder / name).stat().st_size, files[name].size
            if size != expected:
                raise ExportError(f"{folder / name}: has {size} bytes, {index} says {expected}; {remedy}")
    except RecordError as error:
        raise ExportError(str(error)) from error
    except OSError as error:
        raise ExportError(f"{error.filename}: cannot be read: {error.strerror}; {remedy}") from error
    except KeyError as error:
        raise ExportError(f"{index}: files: does not list {error}; {remedy}") from error
    return Checkpoint(
        folder=folder,
        model=read_yaml(folder / "model.json", ModelConfig),  # JSON is YAML
        format=read_yaml(folder / "format.json", FormatConfig),
        stats=load_norm_stats(folder / "norm_stats.json"),
    )


@contextlib.contextmanager
def replacing(final: Path) -> Iterator[Path]:
    """Yield an empty folder to fill, as `new_folder` does; what the file system refuses (a full disk) is an
    `ExportError`."""
    try:
        with new_folder(final) as new:
            new.mkdir()
            yield new
    except OSError as error:
        raise ExportError(
            f"{final}: cannot be written: {error}; what was there is as it was; make room and run the command again"
        ) from error
