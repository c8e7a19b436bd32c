"""`config/datasets/<dataset>.yaml`: where demonstrations come from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from pisft.config.base import ConfigError, Strict
from pisft.config.format import Feature, named

RELEASES = ("v3.0", "v2.1", "v2.0", "main")  # refs commonly fetched from the hub, newest first


class HubDataset(Strict):
    """A LeRobot dataset on the hub, at one pinned revision (a commit or a tag)."""

    source: Literal["hub"] = "hub"
    repo: str
    revision: str


class LocalDataset(Strict):
    """A LeRobot dataset in a local folder, by exactly one of `path` and `name`; it is read in place, never written."""

    source: Literal["local"] = "local"
    path: str | None = Field(
        default=None, description="the folder that holds meta/, relative to the project or absolute"
    )
    name: str | None = Field(default=None, description="a folder under HF_LEROBOT_HOME, such as lerobot/pusht")

    @model_validator(mode="after")
    def _one_place(self):
        if (self.path is None) == (self.name is None):
            raise ValueError("give exactly one of path and name")
        return self

    def folder(self) -> Path:
        """Return the dataset's folder; a `name` is under HF_LEROBOT_HOME (default: `~/.cache/huggingface/lerobot`).

        What lerobot itself fetched is in `hub/datasets--<owner>--<name>/snapshots/<commit>` there. Raises `ConfigError`
        if there are several commits and none is a release that lerobot asks for, or `main`.
        """
        if self.path is not None:
            return Path(self.path).expanduser()
        hub = os.environ.get("HF_HOME", "~/.cache/huggingface")
        home = Path(os.environ.get("HF_LEROBOT_HOME", f"{hub}/lerobot")).expanduser()
        name = cast(str, self.name)  # there is no path
        folder = home / name
        return folder if folder.is_dir() else _snapshot(home, name) or folder


def _snapshot(home: Path, name: str) -> Path | None:
    """Return the folder of dataset repo `name` in the hub client's cache below `home`, or None."""
    cache = home / "hub" / f"datasets--{name.replace('/', '--')}"
    found = {path.name: path for path in sorted(cache.glob("snapshots/*")) if (path / "meta").is_dir()}
    for ref in RELEASES:
        note = cache / "refs" / ref
        if note.is_file() and (commit := note.read_text().strip()) in found:
            return found[commit]
    if len(found) > 1:
        raise ConfigError(
            f"{cache}: found {len(found)} commits of {name}: {', '.join(found)}; give the folder of the one that is "
            "meant, below snapshots/"
        )
    return next(iter(found.values()), None)


class GeneratedDataset(Strict):
    """Demonstrations that a simulator's scripted expert records, `episodes_per_task` successes a task."""

    source: Literal["generated"] = "generated"
    simulator: str = Field(description="config/simulators/")
    tasks: list[str] = Field(min_length=1)
    episodes_per_task: PositiveInt
    seeds: str = Field("demonstrations", description="a seed range of the simulator")
    action_noise: NonNegativeFloat = Field(
        0.0,
        description="standard deviation of a slow disturbance of what is executed, but not of what is recorded: "
        "demonstrations then show the way back",
    )


class SyntheticDataset(Strict):
    """Made-up demonstrations with given features: smooth random motion and moving images, to try a format with."""

    source: Literal["synthetic"] = "synthetic"
    features: Annotated[dict[str, Feature], AfterValidator(named)] = Field(min_length=1)
    fps: PositiveFloat
    episodes: PositiveInt
    frames: PositiveInt = Field(description="of the shortest episode; each is one longer than the one before")
    seed: NonNegativeInt = 0


Origin = Annotated[HubDataset | LocalDataset | GeneratedDataset | SyntheticDataset, Field(discriminator="source")]


class DatasetConfig(Strict):
    """One of these, distinguished by `source`."""

    origin: Origin
