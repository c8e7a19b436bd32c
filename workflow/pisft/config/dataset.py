"""`config/datasets/<dataset>.yaml`: where demonstrations come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from pisft.config.base import Strict


class HubDataset(Strict):
    """A LeRobot dataset on the hub, at one pinned revision (a commit or a tag)."""

    source: Literal["hub"] = "hub"
    repo: str
    revision: str


class LocalDataset(Strict):
    """A LeRobot dataset in a local folder; it is read in place and never written."""

    source: Literal["local"] = "local"
    path: str


class GeneratedDataset(Strict):
    """Demonstrations that a simulator's scripted expert records, `episodes_per_task` successes a task."""

    source: Literal["generated"] = "generated"
    simulator: str = Field(description="config/simulators/")
    tasks: list[str] = Field(min_length=1)
    episodes_per_task: PositiveInt
    seeds: str = Field("demonstrations", description="a seed range of the simulator")


class DatasetConfig(Strict):
    """The file holds one of the three, told apart by `source`."""

    origin: Annotated[HubDataset | LocalDataset | GeneratedDataset, Field(discriminator="source")]
