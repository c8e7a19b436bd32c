"""A simulated episode is a function of its task, seed and actions, and images are what the configuration says."""

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import warm
from metaworld_config import simulator
from pisft.config.files import load_simulator
from pisft.simulators import libero, maniskill
from pisft.simulators.base import SimulatorError, open_simulator
from typed_project import ROOT


def _episode(sim, task, seed, steps=12):
    """What is seen along some fixed actions."""
    rng = np.random.default_rng(0)
    sim.reset(task, seed)
    seen = [sim.observation() | {"all": sim._state}]
    for _ in range(steps // 4):
        sim.step(rng.uniform(-1, 1, (4, 4)))
        seen.append(sim.observation() | {"all": sim._state})
    return seen


def _assert_same(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one["observation.state"], other["observation.state"])
        np.testing.assert_array_equal(one["all"], other["all"])
        np.testing.assert_array_equal(one["observation.image"], other["observation.image"])


@pytest.mark.parametrize("task", ["drawer-close", "push"])
def test_an_episode_does_not_depend_on_those_before_or_beside_it(task):
    config = simulator(render=simulator().render.model_dump() | {"size": 96})
    fresh = _episode(open_simulator(config), task, 3)
    used, beside = open_simulator(config), open_simulator(config)
    _episode(used, "button-press-topdown", 7)
    np.random.seed(5)
    beside.reset(task, 8)
    _episode(used, task, 1)
    while not used.done:
        used.step(used.expert_action()[None])
    beside.render()
    _assert_same(_episode(used, task, 3), fresh)
    _assert_same(_episode(used, task, 3), fresh)


def test_seeds_make_different_episodes():
    sim = open_simulator(simulator())
    sim.reset("button-press-topdown", 0)
    one = sim.observation()["observation.image"]
    sim.reset("button-press-topdown", 1)
    assert (sim.observation()["observation.image"] != one).any()


def test_an_observation_has_the_keys_and_types_of_lerobot_datasets():
    sim = open_simulator(simulator())
    sim.reset("drawer-close", 0)
    seen = sim.observation()
    assert list(seen) == ["observation.image", "observation.state", "task"]
    assert seen["observation.image"].shape == (32, 32, 3) and seen["observation.image"].dtype == np.uint8
    assert seen["observation.state"].shape == (4,) and seen["observation.state"].dtype == np.float32
    assert seen["task"] == "close the drawer"
    assert sim.render().shape == (240, 240, 3)


def test_only_the_images_that_are_asked_for_are_drawn(monkeypatch):
    sim = open_simulator(simulator())
    sim.reset("drawer-close", 0)
    whole = sim.observation()
    np.testing.assert_array_equal(
        sim.observation(["observation.image"])["observation.image"], whole["observation.image"]
    )
    monkeypatch.setattr(sim, "_draw", None)
    blind = sim.observation([])
    assert list(blind) == ["observation.state", "task"]
    np.testing.assert_array_equal(blind["observation.state"], whole["observation.state"])


class Environment:
    """Of any simulator, as far as beginning an episode goes; `there` are those which were not closed."""

    there: ClassVar[list] = []

    def __init__(self, *_, **__):
        self.there.append(self)

    def reset(self, **_):
        return {}, {}

    def close(self):
        self.there.remove(self)

    seed = set_init_state = step = lambda self, *_: ({}, 0.0, False, {})


def _libero(monkeypatch):
    wrapper = SimpleNamespace(ControlEnv=Environment)
    package = SimpleNamespace(envs=SimpleNamespace(env_wrapper=wrapper), __file__="libero/__init__.py")
    monkeypatch.setattr(libero, "_package", lambda: package)
    monkeypatch.setattr(libero, "_check_assets", lambda: None)
    monkeypatch.setattr(libero, "initial_states", lambda task: [None] * 3)


def _maniskill(monkeypatch):
    monkeypatch.setattr(maniskill.Maniskill, "_environment", Environment)


def _robotwin(monkeypatch):
    monkeypatch.setitem(sys.modules, "lerobot.envs.robotwin", SimpleNamespace(RoboTwinEnv=Environment))


@pytest.mark.parametrize(("name", "faked"), [("libero", _libero), ("maniskill", _maniskill), ("robotwin", _robotwin)])
def test_the_environment_of_an_episode_is_closed_before_the_next_one_is_built(monkeypatch, name, faked):
    faked(monkeypatch)
    monkeypatch.setattr(Environment, "there", [])
    sim = open_simulator(load_simulator(name, ROOT, "a test", "simulator"))
    for seed in range(3):
        sim.reset(next(iter(sim.config.tasks)), seed)
        assert len(Environment.there) == 1
    sim.close()
    sim.close()
    assert Environment.there == []


def test_images_are_upright_and_follow_the_render_settings():
    image = {}
    for turned in (True, False):
        render = simulator().render.model_copy(update={"rotate_180": turned})
        sim = open_simulator(simulator(render=render.model_dump()))
        sim.reset("drawer-close", 0)
        image[turned] = sim.observation()["observation.image"]
    np.testing.assert_array_equal(image[True], image[False][::-1, ::-1])
    # Upright, the top of the image is the grey back wall, all of one colour.
    assert np.ptp(image[True][:2].reshape(-1, 3), axis=0).max() < 40
    assert np.ptp(image[False][:2].reshape(-1, 3), axis=0).max() > 40


def test_the_camera_is_where_it_is_configured():
    seen = {}
    for position in ((0.75, 0.075, 0.7), (1.3, -0.2, 1.1)):
        render = simulator().render.model_copy(update={"camera_position": position})
        sim = open_simulator(simulator(render=render.model_dump()))
        sim.reset("drawer-close", 0)
        seen[position] = sim.observation()["observation.image"].astype(int)
        np.testing.assert_array_equal(sim._env.data.cam("corner2").xpos, position)
    near, far = seen.values()
    assert np.abs(near - far).mean() > 10


def test_the_expert_succeeds_and_a_step_after_success_does_nothing():
    sim = open_simulator(simulator())
    sim.reset("drawer-close", 0)
    while not sim.done:
        sim.step(sim.expert_action()[None])
    steps = sim.steps
    assert sim.success and 20 < steps < 150
    sim.step(np.zeros((5, 4)))
    assert sim.steps == steps


def test_an_episode_stops_at_the_cap_in_the_middle_of_a_chunk():
    sim = open_simulator(simulator(max_steps=7))
    sim.reset("drawer-close", 0)
    sim.step(np.zeros((5, 4)))
    assert not sim.done
    sim.step(np.zeros((5, 4)))
    assert sim.done and sim.steps == 7 and not sim.success


def test_unknown_names_are_errors_that_list_what_there_is():
    sim = open_simulator(simulator())
    sim.reset("drawer-close", 0)
    with pytest.raises(SimulatorError, match="no task 'fly'"):
        sim.reset("fly", 0)
    render = simulator().render.model_copy(update={"camera": "corner9"})
    with pytest.raises(SimulatorError, match=r"corner9.*valid: .*corner2"):
        open_simulator(simulator(render=render.model_dump())).reset("drawer-close", 0)


@pytest.mark.parametrize(
    ("setting", "absent", "expected"),
    [
        (None, {"libEGL.so.1"}, "osmesa"),
        (None, {"libEGL.so.1", "libOSMesa.so.8"}, "apt-get install libegl1"),
        ("egl", {"libEGL.so.1"}, "libEGL.so.1 is not installed"),
        ("glfw", set(), "MUJOCO_GL is 'glfw'; expected egl or osmesa"),
    ],
)
def test_a_missing_opengl_is_told_with_what_to_install(setting, absent, expected):
    code = f"""
import ctypes, os
real = ctypes.CDLL
def cdll(name, *args, **kwargs):
    if name in {absent!r}: raise OSError(name)
    return real(name, *args, **kwargs) if name not in ("libEGL.so.1", "libOSMesa.so.8") else None
ctypes.CDLL = cdll
from pisft.simulators import gl
from pisft.simulators.base import SimulatorError
try:
    gl.choose()
    print(os.environ["MUJOCO_GL"])
except SimulatorError as error:
    print(error)
"""
    environment = {key: value for key, value in os.environ.items() if key != "MUJOCO_GL"}
    if setting:
        environment["MUJOCO_GL"] = setting
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert expected in done.stdout and done.stdout.count("\n") == 1, done.stdout + done.stderr


def test_a_simulator_is_tried_by_beginning_one_episode():
    said = warm.run(["tools/try_simulator.py", "metaworld"], ROOT).stdout
    assert "seed 0: begins" in said and "  observation.image: uint8 (96, 96, 3)" in said
