"""Simulators in environments of their own keep the promises of those in ours, and say what they lack."""

from pathlib import Path

import environment_calls as calls
import numpy as np
import pytest
from pisft import environments
from pisft.config.files import load_simulator
from pisft.errors import PisftError
from pisft.simulators.base import SimulatorError
from pisft.simulators.pool import Pool

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TESTS = str(Path(calls.__file__).parent)
TASKS = {"maniskill": "PushCube-v1", "aloha": "transfer_cube"}


@pytest.fixture(autouse=True)
def _workers_find_the_calls(monkeypatch):
    clean = environments.clean
    monkeypatch.setattr(environments, "clean", lambda: clean() | {"PYTHONPATH": TESTS})


def _pool(name, workers=1, **changes):
    """Of `config/simulators/<name>.yaml`; skips where its environment cannot be installed or cannot render."""
    config = load_simulator(name, ROOT, "a test", "simulator").model_copy(update=changes)
    try:
        environments.python(config.environment)
    except PisftError as error:
        pytest.skip(f"envs/{config.environment}: {error}")
    return Pool(config, workers)


def _call(pool, function, *arguments):
    try:
        return pool.run(function, {0: arguments})[0]
    except SimulatorError as error:
        if "Vulkan" in str(error):
            pytest.skip(str(error))
        raise


@pytest.mark.parametrize("name", TASKS)
def test_an_episode_is_a_function_of_task_seed_and_actions_whatever_ran_before(name):
    with _pool(name) as pool:
        assert _call(pool, calls.modules) == []
        first, *outcome = _call(pool, calls.along, TASKS[name], 3, 4)
        _call(pool, calls.along, TASKS[name], 8, 2)
        used, *again = _call(pool, calls.along, TASKS[name], 3, 4)
    with _pool(name) as pool:
        fresh, *_ = _call(pool, calls.along, TASKS[name], 3, 4)
        other, *_ = _call(pool, calls.along, TASKS[name], 4, 4)
    assert outcome == again == [False, 8]
    for one, two, three in zip(first, used, fresh, strict=True):
        assert one.keys() == two.keys() == three.keys()
        for key, value in one.items():
            np.testing.assert_array_equal(value, two[key])
            np.testing.assert_array_equal(value, three[key])
    assert any((first[0][key] != other[0][key]).any() for key in first[0] if "images" in key)


@pytest.mark.parametrize("name", TASKS)
def test_observations_are_what_the_configuration_says(name):
    with _pool(name) as pool:
        (seen,), *_ = _call(pool, calls.along, TASKS[name], 0, 1)
        features = pool.config.features()
    assert seen.pop("task") == pool.config.tasks[TASKS[name]]
    assert seen.keys() == features.keys() - set(pool.config.action_keys)
    for key, value in seen.items():
        assert list(value.shape) == features[key].shape
        assert value.dtype == (np.uint8 if features[key].is_image else np.float32)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("aloha", "transfer_cube"),
        *(("maniskill", f"{task}-v1") for task in ("PickCube", "PushCube", "PullCube", "StackCube", "PullCubeTool")),
    ],
)
def test_the_expert_of_a_task_succeeds(name, task):
    with _pool(name) as pool:
        outcomes = [_call(pool, calls.by_expert, task, seed) for seed in range(3)]
    assert sum(success for success, _, _ in outcomes) >= 2
    assert outcomes[0][2].shape == (240, 240, 3) and np.ptp(outcomes[0][2]) > 100


def test_an_unknown_task_is_an_error_that_names_it():
    for name, told in (("maniskill", "no task 'Fly-v1'"), ("aloha", "not 'Fly-v1'")):
        with _pool(name) as pool, pytest.raises(SimulatorError, match=told):
            _call(pool, calls.along, "Fly-v1", 0, 1)


def test_without_vulkan_maniskill_says_what_to_install(monkeypatch, tmp_path):
    (tmp_path / "none.json").write_text(
        '{"file_format_version": "1.0.0", "ICD": {"library_path": "none", "api_version": "1.3.0"}}'
    )
    monkeypatch.setenv("VK_ICD_FILENAMES", str(tmp_path / "none.json"))
    with _pool("maniskill") as pool, pytest.raises(SimulatorError, match=r"Vulkan.*apt-get install"):
        pool.run(calls.along, {0: ("PushCube-v1", 0, 1)})


@pytest.mark.skipif(not (ROOT / "envs/libero/.venv").exists(), reason="envs/libero is not installed: 6 GB")
def test_libero_has_fifty_initial_states_a_task_and_says_which_assets_are_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with _pool("libero") as pool:
        states = _call(pool, calls.initial_states)
        assert len(states) == 40 and set(states.values()) == {50}
        with pytest.raises(SimulatorError, match="fetch them: hf download lerobot/libero-assets --repo-type dataset"):
            _call(pool, calls.along, next(iter(states)), 0, 1)


def test_what_cannot_be_installed_by_itself_is_told_before_anything_is_built():
    config = load_simulator("calvin", ROOT, "a test", "simulator")
    with pytest.raises(PisftError, match=r"calvin/.venv: is missing.*see docs/simulators\.md"):
        Pool(config, 1)
