"""RoboTwin 2.0: what it offers and its settings."""
# Values are immutable, so a field may be narrowed; pyright does not see it in model_config.
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import PositiveInt

from pisft.config.base import Strict
from pisft.config.format import Feature
from pisft.config.simulators.aloha import ARM_JOINTS
from pisft.config.simulators.base import SimulatorConfig, image, vector


class RobotwinRender(Strict):
    """What the cameras see."""

    height: PositiveInt = 240
    width: PositiveInt = 320


class RobotwinConfig(SimulatorConfig):
    """RoboTwin 2.0's tasks with two arms, through lerobot's wrapper."""

    environment: ClassVar[str | None] = "robotwin"
    robot: ClassVar[str] = "aloha"
    implementation: ClassVar[str] = "pisft.simulators.robotwin:Robotwin"
    packages: ClassVar[tuple[str, ...]] = ("lerobot", "rlinf-robotwin-runtime")

    simulator: Literal["robotwin"] = "robotwin"
    render: RobotwinRender = RobotwinRender()

    def cameras(self) -> dict[str, str]:
        """See `SimulatorConfig.cameras`."""
        return {
            "observation.images.cam_high": "head_camera",
            "observation.images.cam_left_wrist": "left_camera",
            "observation.images.cam_right_wrist": "right_camera",
        }

    def features(self) -> dict[str, Feature]:
        """Three cameras; joint angles (rad) and grippers of the left and the right arm."""
        joints = vector(*(f"{side}_{joint}" for side in ("left", "right") for joint in ARM_JOINTS))
        cameras = {key: image(self.render.height, self.render.width) for key in self.cameras()}
        return {**cameras, "observation.state": joints, "action": joints}
