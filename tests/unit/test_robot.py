"""What reaches a robot is limited, comes at a fixed rate, and ends with the robot held still, whatever goes wrong."""

import threading

import numpy as np
import pytest
from pisft.serving.robot import Limits, RobotError, control


class Arm:
    """Records what it is told; done after `length` actions."""

    def __init__(self, length=10**6):
        self.length, self.sent, self.stopped = length, [], 0

    def observe(self):
        return {"task": "move"}

    def act(self, action):
        self.sent.append(action)
        return len(self.sent) == self.length

    def stop(self):
        self.stopped += 1


def _run(arm, infer, **changes):
    settings = {
        "hz": 500.0,
        "execute": 3,
        "watchdog_s": 5.0,
        "max_steps": 7,
        "limits": Limits(),
        "action_type": "delta",
    }
    return control(arm, infer, **settings | changes)


def _chunk(*rows):
    return lambda observation: np.array(rows, np.float32)


def test_the_first_actions_of_each_chunk_are_executed_until_the_task_is_done():
    arm = Arm(length=5)
    run = _run(arm, _chunk([1], [2], [3], [4]))
    assert [float(action[0]) for action in arm.sent] == [1, 2, 3, 1, 2]
    assert (run.reason, run.steps, run.chunks, arm.stopped) == ("done", 5, 2, 1)


def test_the_most_steps_end_a_run_in_the_midst_of_a_chunk():
    arm = Arm()
    run = _run(arm, _chunk([1], [2], [3]))
    assert len(arm.sent) == run.steps == 7 and run.reason == "the most steps were reached" and arm.stopped


def test_relative_commands_are_limited_themselves_and_absolute_ones_by_their_change():
    arm = Arm()
    run = _run(arm, _chunk([0.5, -3], [0, 3]), execute=2, max_steps=2, limits=Limits(max_step=[1.0, 2.0]))
    np.testing.assert_allclose(arm.sent, [[0.5, -2], [0, 2]])
    assert run.clipped == [0, 2]
    arm = Arm()
    limits = Limits(max_step=1.0, max_velocity=[100.0, 1000.0])  # at 500 Hz, 0.2 and 2 a step
    run = _run(
        arm,
        _chunk([1, 1], [1, 5]),
        execute=2,
        max_steps=2,
        limits=limits,
        action_type="absolute",
        start=np.zeros(2, np.float32),
    )
    np.testing.assert_allclose(arm.sent, [[0.2, 1], [0.4, 2]], rtol=1e-6)
    assert run.clipped == [2, 1]


def test_a_late_chunk_stops_the_robot():
    late = threading.Event()
    arm = Arm()
    run = _run(arm, lambda observation: late.wait(20), watchdog_s=0.05)
    late.set()
    assert "watchdog" in run.reason and arm.stopped == 1 and not arm.sent


def test_a_chunk_that_is_not_finite_never_reaches_the_robot():
    arm = Arm()
    assert "not finite" in _run(arm, _chunk([0.0], [np.nan])).reason
    assert not arm.sent and arm.stopped == 1


@pytest.mark.parametrize("error", [RuntimeError("lost"), KeyboardInterrupt()])
def test_whatever_goes_wrong_the_robot_is_stopped(error):
    class Broken(Arm):
        def act(self, action):
            raise error

    arm = Broken()
    if isinstance(error, KeyboardInterrupt):
        assert _run(arm, _chunk([1])).reason == "interrupted"
    else:
        with pytest.raises(RuntimeError):
            _run(arm, _chunk([1]))
    assert arm.stopped == 1


def test_limits_that_cannot_be_kept_are_errors_before_anything_moves():
    arm = Arm()
    for limits, told in (
        (Limits(max_step=[1, 1]), "2 numbers; expected one, or 1"),
        (Limits(max_velocity=0), "above 0"),
    ):
        with pytest.raises(RobotError, match=told):
            _run(arm, _chunk([1]), limits=limits)
    with pytest.raises(RobotError, match="limited from where the robot is"):
        _run(arm, _chunk([1]), limits=Limits(max_step=1), action_type="absolute")
    assert not arm.sent
