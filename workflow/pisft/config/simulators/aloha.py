"""gym-aloha: what it offers and its settings."""
# Values are immutable, so a field may be narrowed; pyright does not see it in model_config.
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from pisft.config.base import Strict
from pisft.config.format import Feature
from pisft.config.simulators.base import SimulatorConfig, image, vector

ARM_JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")


class AlohaRender(Strict):
    """What the cameras see: rendering three of them is nearly all that a step costs."""

    height: PositiveInt
    width: PositiveInt
    shadowsize: NonNegativeInt = Field(description="side of the shadow map, pixels; 0 for no shadows")
    offsamples: NonNegativeInt = Field(description="multisampling of the offscreen buffer")


class AlohaConfig(SimulatorConfig):
    """gym-aloha's two ViperX arms, in the keys of the format pi0_aloha_robotwin."""

    environment: ClassVar[str | None] = "aloha"
    robot: ClassVar[str] = "aloha"
    implementation: ClassVar[str] = "pisft.simulators.aloha:Aloha"
    packages: ClassVar[tuple[str, ...]] = ("gym-aloha", "dm-control", "mujoco", "numpy")

    simulator: Literal["aloha"] = "aloha"
    render: AlohaRender

    def cameras(self) -> dict[str, str]:
        """See `SimulatorConfig.cameras`."""
        return {
            "observation.images.cam_high": "top",
            "observation.images.cam_left_wrist": "left_wrist",
            "observation.images.cam_right_wrist": "right_wrist",
        }

    def features(self) -> dict[str, Feature]:
        """Three cameras; joint angles (rad) and grippers (0 closed to 1 open) of the left and the right arm."""
        joints = vector(*(f"{side}_{joint}" for side in ("left", "right") for joint in ARM_JOINTS))
        cameras = {key: image(self.render.height, self.render.width) for key in self.cameras()}
        return {**cameras, "observation.state": joints, "action": joints}
