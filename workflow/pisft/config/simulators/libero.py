"""LIBERO: what it offers and its settings."""
# Values are immutable, so a field may be narrowed; pyright does not see it in model_config.
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from pisft.config.base import Strict
from pisft.config.format import Feature
from pisft.config.simulators.base import SimulatorConfig, image, vector


class LiberoRender(Strict):
    """What the two cameras see."""

    size: PositiveInt = Field(default=256, description="side of the square images, pixels")


class LiberoConfig(SimulatorConfig):
    """LIBERO, in the keys of openpi's datasets; a seed is the number of one of a task's initial states."""

    environment: ClassVar[str | None] = "libero"
    robot: ClassVar[str] = "panda"
    action_keys: ClassVar[tuple[str, ...]] = ("actions",)
    implementation: ClassVar[str] = "pisft.simulators.libero:Libero"
    packages: ClassVar[tuple[str, ...]] = ("hf-libero", "robosuite", "mujoco", "numpy")

    simulator: Literal["libero"] = "libero"
    render: LiberoRender = LiberoRender()
    settle_steps: NonNegativeInt = Field(10, description="steps of doing nothing before the policy sees the scene")

    def cameras(self) -> dict[str, str]:
        """See `SimulatorConfig.cameras`."""
        return {"image": "agentview", "wrist_image": "robot0_eye_in_hand"}

    def features(self) -> dict[str, Feature]:
        """Two cameras; the hand's pose and the fingers' joints; the change of the hand's pose."""
        return {
            **{key: image(self.render.size, self.render.size) for key in self.cameras()},
            "state": vector(
                "x", "y", "z", "axis_angle_x", "axis_angle_y", "axis_angle_z", "left_finger", "right_finger"
            ),
            "actions": vector("dx", "dy", "dz", "droll", "dpitch", "dyaw", "gripper"),
        }
