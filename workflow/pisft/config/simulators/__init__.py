"""`config/simulators/<sim>.yaml`, typed: tasks, suites, step limits, render settings and seed ranges of a simulator.

What a simulator offers stands in its own file here: its cameras, the features of its observations and actions, and how
many tasks an episode has. A format that does not fit is rejected before anything runs; how it is driven stands in
`pisft.simulators`.
"""

from typing import Annotated

from pydantic import Field

from pisft.config.base import Strict
from pisft.config.simulators.aloha import AlohaConfig
from pisft.config.simulators.base import SeedRange, SimulatorConfig
from pisft.config.simulators.calvin import CalvinConfig
from pisft.config.simulators.libero import LiberoConfig
from pisft.config.simulators.maniskill import ManiskillConfig
from pisft.config.simulators.metaworld import MetaworldConfig
from pisft.config.simulators.robotwin import RobotwinConfig

AnySimulator = Annotated[
    MetaworldConfig | ManiskillConfig | AlohaConfig | LiberoConfig | RobotwinConfig | CalvinConfig,
    Field(discriminator="simulator"),
]


class SimulatorFile(Strict):
    """One of these, distinguished by `simulator`."""

    origin: AnySimulator


__all__ = ["AnySimulator", "SeedRange", "SimulatorConfig", "SimulatorFile"]
