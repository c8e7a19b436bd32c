"""A format that the data contradict is told so, and one that was proposed for them is not."""

import known_robots
import numpy as np
import pytest
from pisft.config.format import FormatConfig
from pisft.data import Format
from pisft.data.lerobot.dataset import LeRobotData
from pisft.inspection.agreement import contradictions
from pisft.inspection.look import inspect
from pisft.inspection.proposal import propose

MAKERS = {
    "aloha": known_robots.aloha,
    "aloha without names": lambda path: known_robots.aloha(path, named=False),
    "libero": known_robots.libero,
    "calvin": known_robots.calvin,
}


@pytest.fixture(scope="module")
def robots(tmp_path_factory):
    """Each robot's dataset and the format that is proposed for it."""
    folder = tmp_path_factory.mktemp("robots")
    made = {}
    for name, make in MAKERS.items():
        data = LeRobotData(make(folder / name))
        path = folder / f"{name}.yaml"
        path.write_text(propose(inspect(data, name)).text)
        made[name] = data, FormatConfig.from_yaml(path)
    return made


def told(robot, **changes):
    data, config = robot
    content = config.model_dump() | changes
    return contradictions(data, Format(FormatConfig.model_validate(content)))


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_proposed_agrees_with_the_data(robots, name):
    assert told(robots[name]) == []


@pytest.mark.parametrize("name", ["aloha", "aloha without names"])
def test_a_mask_that_takes_a_gripper_along_is_told(robots, name):
    for mask, count in (([14], 2), ([-6, 1, -6, 1], 2), ([7, 6, -1], 1)):
        found = told(robots[name], delta_mask=mask)
        assert len(found) == count and all("relative to the state: it is a gripper" in line for line in found), found


def test_a_mask_over_increments_is_told(robots):
    found = told(robots["libero"], delta_mask=[6, -1], action_type="absolute")
    assert "action_type is absolute; the actions look delta" in found[0]
    assert sum("it is an increment already" in line for line in found) == 6


def test_targets_that_are_called_increments_are_told(robots):
    (found,) = told(robots["aloha"], action_type="delta", delta_mask=[])
    assert "action_type is delta; the actions look absolute" in found


@pytest.mark.parametrize("name", ["aloha", "aloha without names"])
def test_state_and_actions_that_are_swapped_are_told(robots, name):
    _, config = robots[name]
    found = told(robots[name], state=config.model_dump()["actions"], actions=config.model_dump()["state"])
    assert any("swapped" in line for line in found), found


def test_a_mask_whose_dims_stand_elsewhere_in_the_state_is_told(robots):
    arms = [{"key": "observation.state", "dims": dims} for dims in ([0, 6], [7, 13])]
    found = told(robots["aloha"], state=arms, delta_mask=[6, -1, 5, -2])
    assert any("does not go along with the state's dim there" in line for line in found), found
    assert any("the state has no gripper, so the policy cannot see" in line for line in found), found
    assert told(robots["aloha"], state=arms, delta_mask=[6, -8]) == found[-1:]


def test_of_actions_that_go_along_with_nothing_only_a_mask_is_wrong(tmp_path):
    rng = np.random.default_rng(0)
    vectors = {key: [rng.normal(size=(60, 3)) for _ in range(3)] for key in ("observation.state", "action")}
    data = LeRobotData(known_robots.write(tmp_path / "noise", vectors, {}, ["top"], 10))
    content = {"cameras": {"base_0_rgb": "top"}, "state": "observation.state", "actions": "action"}
    config = FormatConfig.model_validate(content | {"normalisation": "zscore", "action_horizon": 4})
    assert told((data, config)) == [] and told((data, config), action_type="delta") == []
    assert len(told((data, config), delta_mask=[3])) == 3
