"""`config/simulators/<sim>.yaml`: tasks, suites, step limits, render settings and seed ranges of one simulator.

Start from `SimulatorConfig`, the common part; each simulator's class adds its `render` settings and declares the
features of its observations and actions, so that a format that does not fit is rejected before anything runs.
"""
# Values are immutable, so a field may be narrowed; pyright does not see it in model_config.
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

import itertools
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from pisft.config.base import Strict
from pisft.config.format import Feature
from pisft.names import why_no_task


def _task(name: str) -> str:
    if reason := why_no_task(name):
        raise ValueError(f"a task names files: {reason}")
    return name


Task = Annotated[str, AfterValidator(_task)]


class SeedRange(Strict):
    """Seeds `first` to `last`, both included."""

    first: NonNegativeInt
    last: NonNegativeInt


class SimulatorConfig(Strict):
    """One simulator. The seed ranges are disjoint: what is tuned or tested on was never demonstrated."""

    environment: ClassVar[str | None] = None  # its environment's folder under envs/; None: the project's own
    stages: ClassVar[int] = 1  # tasks in an episode
    action_keys: ClassVar[tuple[str, ...]] = ("action",)  # which together make up an action
    robot: ClassVar[str]
    implementation: ClassVar[str]  # module:class, a `pisft.simulators.base.Simulator`
    packages: ClassVar[tuple[str, ...]]  # packages whose versions affect its episodes

    simulator: str
    tasks: dict[Task, str] = Field(description="task → the instruction that its policy is given")
    suites: dict[str, list[str]] = Field({}, description="name → tasks")
    max_steps: PositiveInt | dict[str, PositiveInt] = Field(
        description="an episode that has not succeeded by then has failed; one number, or one for each suite"
    )
    fps: PositiveInt
    seeds: dict[str, SeedRange]
    timeout_s: PositiveFloat = Field(
        300, description="a process that simulates one chunk for longer hangs: it is replaced and its episodes repeated"
    )

    def cap(self, task: str) -> int:
        """Return the maximal number of steps of an episode of `task`."""
        if isinstance(self.max_steps, int):
            return self.max_steps
        return max(self.max_steps[suite] for suite, tasks in self.suites.items() if task in tasks)

    def own(self) -> dict[str, Any]:
        """Return the settings that only this simulator has, such as `render`."""
        return self.model_dump(mode="json", exclude=set(SimulatorConfig.model_fields))

    @property
    def longest(self) -> int:
        """The maximal number of steps of any episode."""
        return self.max_steps if isinstance(self.max_steps, int) else max(self.max_steps.values())

    def features(self) -> dict[str, Feature]:
        """Return the features, in LeRobot's terms, of observations (except `task`) and actions."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _disjoint_seeds(self):
        ranges = sorted(self.seeds.items(), key=lambda item: item[1].first)
        for name, r in ranges:
            if r.last < r.first:
                raise ValueError(f"seeds.{name}: last {r.last} is before first {r.first}")
        for (a, ra), (b, rb) in itertools.pairwise(ranges):
            if rb.first <= ra.last:
                raise ValueError(f"seeds.{a} ({ra.first}-{ra.last}) and seeds.{b} ({rb.first}-{rb.last}) overlap")
        return self

    @model_validator(mode="after")
    def _known_suite_tasks(self):
        for suite, tasks in self.suites.items():
            for task in tasks:
                if task not in self.tasks:
                    raise ValueError(f"suites.{suite}: '{task}' is not among tasks")
        return self

    @model_validator(mode="after")
    def _a_cap_a_suite(self):
        if isinstance(self.max_steps, dict) and self.max_steps.keys() != self.suites.keys():
            raise ValueError(f"max_steps: one for each of the suites is expected, {', '.join(self.suites)}")
        return self


def image(height: int, width: int) -> Feature:
    """Return the feature of a camera."""
    return Feature(dtype="video", shape=[height, width, 3], names=["height", "width", "channels"])


def vector(*names: str) -> Feature:
    """Return a feature with one float32 for each name."""
    return Feature(shape=[len(names)], names=list(names))


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

    def features(self) -> dict[str, Feature]:
        """One camera; the hand's position (m) and the gripper's opening; its displacement and the gripper's effort."""
        return {
            "observation.image": image(self.render.size, self.render.size),
            "observation.state": vector("hand_x", "hand_y", "hand_z", "gripper"),
            "action": vector("delta_x", "delta_y", "delta_z", "gripper"),
        }


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

    def features(self) -> dict[str, Feature]:
        """One camera; the hand's pose and the gripper's opening; the normalised change of the hand's pose."""
        return {
            "observation.images.top": image(self.render.size, self.render.size),
            "observation.state": vector("x", "y", "z", "rx", "ry", "rz", "gripper"),
            "actions": vector("dx", "dy", "dz", "droll", "dpitch", "dyaw", "gripper"),
        }


ALOHA_JOINTS = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")
ALOHA_CAMERAS = {"cam_high": "top", "cam_left_wrist": "left_wrist", "cam_right_wrist": "right_wrist"}


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

    def features(self) -> dict[str, Feature]:
        """Three cameras; joint angles (rad) and grippers (0 closed to 1 open) of the left and the right arm."""
        joints = vector(*(f"{side}_{joint}" for side in ("left", "right") for joint in ALOHA_JOINTS))
        cameras = {
            f"observation.images.{camera}": image(self.render.height, self.render.width) for camera in ALOHA_CAMERAS
        }
        return {**cameras, "observation.state": joints, "action": joints}


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

    def features(self) -> dict[str, Feature]:
        """Two cameras; the hand's pose and the fingers' joints; the change of the hand's pose."""
        return {
            "image": image(self.render.size, self.render.size),
            "wrist_image": image(self.render.size, self.render.size),
            "state": vector(
                "x", "y", "z", "axis_angle_x", "axis_angle_y", "axis_angle_z", "left_finger", "right_finger"
            ),
            "actions": vector("dx", "dy", "dz", "droll", "dpitch", "dyaw", "gripper"),
        }


ROBOTWIN_CAMERAS = {"cam_high": "head_camera", "cam_left_wrist": "left_camera", "cam_right_wrist": "right_camera"}


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

    def features(self) -> dict[str, Feature]:
        """Three cameras; joint angles (rad) and grippers of the left and the right arm."""
        joints = vector(*(f"{side}_{joint}" for side in ("left", "right") for joint in ALOHA_JOINTS))
        cameras = {
            f"observation.images.{camera}": image(self.render.height, self.render.width) for camera in ROBOTWIN_CAMERAS
        }
        return {**cameras, "observation.state": joints, "action": joints}


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


AnySimulator = Annotated[
    MetaworldConfig | ManiskillConfig | AlohaConfig | LiberoConfig | RobotwinConfig | CalvinConfig,
    Field(discriminator="simulator"),
]


class SimulatorFile(Strict):
    """One of these, distinguished by `simulator`."""

    origin: AnySimulator
