"""MetaWorld v3: what it offers and its settings."""
# Values are immutable, so a field may be narrowed; pyright does not see it in model_config.
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from pisft.config.base import Strict
from pisft.config.format import Feature
from pisft.config.simulators.base import SimulatorConfig, image, vector


class MetaworldRender(Strict):
    """What the camera sees; recorded with every demonstration and every evaluation, since pixels depend on it."""

    size: PositiveInt = Field(description="side of the square image, pixels")
    camera: str = "corner2"
    camera_position: tuple[float, float, float] = (0.75, 0.075, 0.7)
    rotate_180: bool = True
    shadowsize: NonNegativeInt = Field(description="side of the shadow map, pixels; 0 for no shadows")
    offsamples: NonNegativeInt = Field(description="multisampling of the offscreen buffer")
    reflectance: bool = Field(description="False: no mirror-like surfaces")


class MetaworldConfig(SimulatorConfig):
    """MetaWorld v3 with the keys of lerobot's datasets."""

    robot: ClassVar[str] = "sawyer"
    implementation: ClassVar[str] = "pisft.simulators.metaworld:Metaworld"
    packages: ClassVar[tuple[str, ...]] = ("metaworld", "mujoco")

    simulator: Literal["metaworld"] = "metaworld"
    render: MetaworldRender

    def cameras(self) -> dict[str, str]:
        """See `SimulatorConfig.cameras`."""
        return {"observation.image": self.render.camera}

    def features(self) -> dict[str, Feature]:
        """One camera; the hand's position (m) and the gripper's opening; its displacement and the gripper's effort."""
        return {
            **{key: image(self.render.size, self.render.size) for key in self.cameras()},
            "observation.state": vector("hand_x", "hand_y", "hand_z", "gripper"),
            "action": vector("delta_x", "delta_y", "delta_z", "gripper"),
        }
