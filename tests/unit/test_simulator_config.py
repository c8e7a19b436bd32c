"""A simulator that does not fit the format, or contradicts itself, is found when the experiment is read."""

import pytest
from metaworld_config import simulator
from pisft.config import resolve
from pisft.config.base import ConfigError
from pisft.config.files import load_simulator
from pisft.evaluate.episode import Episode
from pisft.evaluate.run import chains
from pisft.simulators.versions import versions
from typed_project import ROOT, copy_project

NAMES = ("aloha", "calvin", "libero", "maniskill", "metaworld", "metaworld_mt50", "robotwin")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return copy_project(tmp_path_factory.mktemp("project") / "copy")


def _edited(project, name, content):
    (project.root / f"config/experiments/{name}.yaml").write_text(content)
    return resolve(name, project.root)


@pytest.mark.parametrize("name", NAMES)
def test_each_simulator_and_its_smoke_version_can_be_read_and_says_its_versions(name):
    config = load_simulator(name, ROOT, "a test", "simulator")
    tiny = load_simulator(f"{name}~smoke", ROOT, "a test", "simulator")
    assert tiny.longest == 20 <= config.longest
    assert all(task in config.tasks for tasks in config.suites.values() for task in tasks)
    assert set(versions(config)) == set(config.packages)
    assert set(config.action_keys) < set(config.features())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            "extends: quickstart\neval: {closed_loop: {simulator: maniskill, suites: [push_cube]}}",
            "the format reads cameras from 'observation.image', which is none of 'maniskill'; "
            "it has observation.images.top",
        ),
        (
            "extends: maniskill_tiny\nformat: seven",
            "'observation.state' of the format has 6 dims, of 'maniskill' 7; a policy of one cannot act in the other",
        ),
        (
            "extends: maniskill_tiny\nformat: part",
            "'maniskill' takes all of actions, in this order; the format learns actions",
        ),
        (
            "extends: quickstart\npublished: {source: x, episodes: 5, suites: {quickstar: 0.5}}",
            "published.suites: 'quickstar' is not evaluated; did you mean 'quickstart'?",
        ),
        (
            "extends: quickstart\npublished: {source: x, average_length: 3.8}",
            "published.average_length: 'metaworld' has no chains of tasks; expected suites or average",
        ),
    ],
)
def test_what_does_not_fit_is_told_before_anything_runs(project, content, told):
    tiny = (project.root / "config/formats/maniskill_tiny.yaml").read_text()
    seven = tiny.replace("{shape: [7], names: [x, y, z, rx, ry, rz, gripper]}", "{shape: [6]}")
    (project.root / "config/formats/seven.yaml").write_text(seven)
    part = tiny.replace("actions: actions", "actions: [{key: actions, dims: [0, 3]}]")
    (project.root / "config/formats/part.yaml").write_text(part)
    with pytest.raises(ConfigError) as caught:
        _edited(project, "misfit", content)
    assert told in str(caught.value)


def test_a_simulator_of_another_environment_is_left_out_of_smoke_runs():
    assert resolve("pi05_libero", ROOT).eval.closed_loop.simulator == "libero"
    assert resolve("pi05_libero~smoke", ROOT).eval.closed_loop is None
    assert resolve("pi05_metaworld~smoke", ROOT).eval.closed_loop is not None


def test_libero_is_openpis_protocol():
    libero, loop = load_simulator("libero", ROOT, "a test", "simulator"), resolve("pi05_libero", ROOT).eval.closed_loop
    assert {suite: libero.cap(tasks[0]) for suite, tasks in libero.suites.items()} == {
        "libero_spatial": 220,
        "libero_object": 280,
        "libero_goal": 300,
        "libero_10": 520,
    }
    assert all(len(tasks) == 10 for tasks in libero.suites.values())
    assert (libero.settle_steps, loop.replan_steps, loop.episodes_per_task) == (10, 5, 50)


def test_a_protocol_says_what_its_simulator_alone_decides():
    found = {name: load_simulator(name, ROOT, "a test", "simulator").own() for name in ("libero", "calvin")}
    assert found == {"libero": {"render": {"size": 256}, "settle_steps": 10}, "calvin": {"subtask_steps": 360}}


def test_caps_are_for_all_suites_or_none():
    assert (
        simulator(max_steps={"both": 10, "one": 20}).cap("drawer-close") == 20
    )  # of the suites that have it, the most
    with pytest.raises(ValueError, match="one for each of the suites is expected, both, one"):
        simulator(max_steps={"both": 10})


def test_chains_are_counted_as_calvin_does():
    episodes = [Episode("chains", i, completed == 5, completed, 1, None) for i, completed in enumerate((0, 2, 5, 5))]
    found = chains(episodes, 5)
    assert found.average_length == 3.0 and found.interval95 == (0.0, 5.0), "of four chains little is known"
    assert chains([*episodes] * 50, 5).interval95 == pytest.approx(
        (2.7035, 3.2965), abs=1e-4
    )  # 3 ∓ 1.972 · 2.1266 / √200
    assert [row.success for row in found.at_least.values()] == [0.75, 0.75, 0.5, 0.5, 0.5]
