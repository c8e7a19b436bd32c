"""ManiSkill 3: what it offers and its settings."""
# Values are immutable, so a field may be narrowed; pyright does not see it in model_config.
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from pisft.config.base import Strict
from pisft.config.format import Feature
from pisft.config.simulators.base import SimulatorConfig, image, vector


class ManiskillRender(Strict):
    """What the camera sees, and which Vulkan device draws it."""

    size: PositiveInt = Field(description="side of the square image, pixels")
    camera: str = "base_camera"
    shadows: bool = False
    device: Literal["cpu", "gpu"] = Field("cpu", description="of Vulkan; the pixels of the two differ a little")


class ManiskillConfig(SimulatorConfig):
    """ManiSkill 3's table-top tasks with a Panda arm, in the keys of the format pi0_maniskill."""

    environment: ClassVar[str | None] = "maniskill"
    action_keys: ClassVar[tuple[str, ...]] = ("actions",)
    robot: ClassVar[str] = "panda"
    implementation: ClassVar[str] = "pisft.simulators.maniskill:Maniskill"
    packages: ClassVar[tuple[str, ...]] = ("mani-skill", "sapien", "mplib", "numpy", "torch")

    simulator: Literal["maniskill"] = "maniskill"
    render: ManiskillRender

    def cameras(self) -> dict[str, str]:
        """See `SimulatorConfig.cameras`."""
        return {"observation.images.top": self.render.camera}

    def features(self) -> dict[str, Feature]:
        """One camera; the hand's pose and the gripper's opening; the normalised change of the hand's pose."""
        return {
            **{key: image(self.render.size, self.render.size) for key in self.cameras()},
            "observation.state": vector("x", "y", "z", "rx", "ry", "rz", "gripper"),
            "actions": vector("dx", "dy", "dz", "droll", "dpitch", "dyaw", "gripper"),
        }
