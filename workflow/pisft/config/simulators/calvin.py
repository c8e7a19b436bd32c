"""CALVIN: what it offers and its settings."""
# Values are immutable, so a field may be narrowed; pyright does not see it in model_config.
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from pisft.config.format import Feature
from pisft.config.simulators.base import SimulatorConfig, image, vector


class CalvinConfig(SimulatorConfig):
    """CALVIN's chains of five tasks; a seed is the number of one of its thousand sequences."""

    environment: ClassVar[str | None] = "calvin"
    robot: ClassVar[str] = "panda"
    stages: ClassVar[int] = 5
    action_keys: ClassVar[tuple[str, ...]] = ("action.delta_ee_pos", "action.delta_ee_rot", "action.gripper")
    implementation: ClassVar[str] = "pisft.simulators.calvin:Calvin"
    packages: ClassVar[tuple[str, ...]] = ("calvin", "calvin-env", "pybullet")

    simulator: Literal["calvin"] = "calvin"
    subtask_steps: PositiveInt = Field(360, description="a task that is not done by then ends the chain")

    def cameras(self) -> dict[str, str]:
        """See `SimulatorConfig.cameras`."""
        return {"video.image_base": "rgb_static", "video.image_wrist": "rgb_gripper"}

    def features(self) -> dict[str, Feature]:
        """Two cameras; the hand's position, Euler angles and gripper; their change."""
        return {
            "video.image_base": image(200, 200),
            "video.image_wrist": image(84, 84),
            "state.ee_pos": vector("x", "y", "z"),
            "state.ee_rot": vector("roll", "pitch", "yaw"),
            "state.gripper": vector("gripper"),
            "action.delta_ee_pos": vector("dx", "dy", "dz"),
            "action.delta_ee_rot": vector("droll", "dpitch", "dyaw"),
            "action.gripper": vector("gripper"),
        }
