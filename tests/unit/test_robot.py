"""What reaches a robot is limited, comes at a fixed rate, and ends with the robot held still, whatever goes wrong."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pisft.serving.robot import Limits, RobotError, control
from pisft.serving.wire import pack
from websockets.sync.server import serve as listen

ROOT = Path(__file__).parents[2]


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


class Placed(Arm):
    """One that takes absolute actions, and is where it says."""

    def __init__(self, place):
        super().__init__()
        self.place = place

    def position(self):
        return np.asarray(self.place, np.float32)


def _run(arm, infer, **changes):
    settings = {
        "hz": 500.0,
        "execute": 3,
        "watchdog_s": 5.0,
        "max_steps": 7,
        "limits": Limits(),
        "action_type": "delta",
        "dims": None,
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
    arm = Placed([0, 0])
    limits = Limits(max_step=1.0, max_velocity=[100.0, 1000.0])  # at 500 Hz, 0.2 and 2 a step
    run = _run(
        arm,
        _chunk([1, 1], [1, 5]),
        execute=2,
        max_steps=2,
        limits=limits,
        action_type="absolute",
    )
    np.testing.assert_allclose(arm.sent, [[0.2, 1], [0.4, 2]], rtol=1e-6)
    assert run.clipped == [2, 1]


def test_a_late_chunk_stops_the_robot():
    late = threading.Event()
    arm = Arm()
    run = _run(arm, lambda observation: late.wait(20), watchdog_s=0.05)
    late.set()
    assert "watchdog" in run.reason and arm.stopped == 1 and not arm.sent


def test_a_camera_that_hangs_trips_the_watchdog_and_what_it_saw_is_let_drop():
    class Blind(Arm):
        def observe(self):
            threads.append(threading.current_thread())
            if len(threads) == 2:
                seen.wait(20)
            return super().observe()

    threads, asked, seen = [], [], threading.Event()

    def infer(observation):
        asked.append(observation)
        return np.ones((3, 1), np.float32)

    arm = Blind()
    run = _run(arm, infer, watchdog_s=2.0)
    assert "watchdog" in run.reason and arm.stopped == 1 and len(arm.sent) == 3
    seen.set()
    threads[1].join(20)
    assert len(asked) == 1 and len(arm.sent) == 3
    assert threads[0] is threads[1] and threads[0].daemon


def test_what_the_camera_raises_is_not_taken_for_the_watchdog():
    class Broken(Arm):
        def observe(self):
            raise TimeoutError("no frame")

    arm = Broken()
    with pytest.raises(TimeoutError, match="no frame"):
        _run(arm, _chunk([1]))
    assert arm.stopped == 1


def test_an_interruption_while_the_robot_is_being_stopped_stops_it_again():
    class Slow(Arm):
        def stop(self):
            super().stop()
            if self.stopped == 1:
                raise KeyboardInterrupt

    arm = Slow(length=1)
    assert _run(arm, _chunk([1])).reason == "done" and arm.stopped == 2


def test_a_chunk_that_is_not_finite_never_reaches_the_robot():
    arm = Arm()
    assert "not finite" in _run(arm, _chunk([0.0], [np.nan])).reason
    assert not arm.sent and arm.stopped == 1
    assert r"float32 [0, 2]" in _run(arm, lambda observation: np.zeros((0, 2))).reason


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
        (Limits(max_velocity=np.nan), "finite numbers above 0"),
        (Limits(max_step=np.inf), "finite numbers above 0"),
    ):
        with pytest.raises(RobotError, match=told):
            _run(arm, _chunk([1]), limits=limits, dims=1)
    assert not arm.sent and arm.stopped == 4


@pytest.mark.parametrize("limits", [Limits(), Limits(max_step=0.1)])
@pytest.mark.parametrize(
    ("arm", "word", "told"),
    [
        (Arm, {"action_type": "absolute"}, "needs position()"),
        (Arm, {"action_type": "Absolute"}, "the server says 'Absolute'; expected absolute or delta"),
        (Arm, {"action_type": "abs"}, "expected absolute or delta"),
        (Arm, {"action_type": ["x"]}, "expected absolute or delta"),
        (Arm, {"action_type": None}, "the server says None"),
        (lambda: Placed([0.0]), {"action_type": "relative"}, "expected absolute or delta"),
        (lambda: Placed([2.0]), {"action_type": "delta"}, "takes absolute ones"),
        (lambda: Placed([0.0, 0.0]), {"action_type": "absolute", "dims": 1}, "have 1 dims; the robot's position has 2"),
        (lambda: Placed(0.0), {"action_type": "absolute"}, "one a dim"),
    ],
)
def test_what_the_server_says_of_its_actions_is_the_robots_or_nothing_moves(arm, word, told, limits):
    robot = arm()
    with pytest.raises(RobotError, match=re.escape(told)):
        _run(robot, _chunk([9.0]), limits=limits, **word)
    assert not robot.sent and robot.stopped == 1


ANSWERS = st.one_of(
    st.lists(st.lists(st.floats(width=32), min_size=0, max_size=3), max_size=4).map(
        lambda rows: np.array(rows, np.float32) if len({len(row) for row in rows}) <= 1 else rows
    ),
    st.sampled_from(
        [None, "text", b"bytes", 3, [], {}, {"actions": 1}, [["a"]], np.zeros((2, 2, 2)), np.array(["x", "y"])]
    ),
)


@given(
    answers=st.lists(ANSWERS, min_size=1, max_size=4),
    action_type=st.one_of(st.sampled_from(["absolute", "delta"]), st.text(max_size=9), st.none(), st.integers()),
    dims=st.one_of(st.none(), st.integers(1, 3)),
    place=st.one_of(st.none(), st.lists(st.floats(-5, 5, width=32), max_size=3)),
)
@settings(max_examples=200, deadline=None)
def test_whatever_a_server_answers_no_command_is_beyond_the_limits_and_the_robot_is_stopped(
    answers, action_type, dims, place
):
    robot = Arm() if place is None else Placed(place)
    given = iter(answers)
    with contextlib.suppress(RobotError):
        _run(
            robot, lambda _: next(given, None), hz=1e5, limits=Limits(max_step=0.1), action_type=action_type, dims=dims
        )
    last = np.zeros(robot.sent[0].shape) if robot.sent and place is None else place
    for command in robot.sent:
        assert np.isfinite(command).all() and command.shape == np.shape(last)
        assert (np.abs(command - last) <= 0.1 + 1e-6).all()
        last = np.zeros(command.shape) if place is None else command
    assert robot.stopped == 1


def test_a_second_chunk_of_other_dims_stops_the_robot():
    chunks = iter([np.zeros((3, 2)), np.zeros((3, 1))])
    arm = Arm()
    assert _run(arm, lambda _: next(chunks)).reason == "stopped: the chunk has 1 dims; expected 2"
    assert len(arm.sent) == 3 and arm.stopped == 1


@pytest.mark.parametrize("name", ["hz", "execute", "watchdog_s", "max_steps"])
@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf])
def test_numbers_that_make_no_loop_are_errors_before_anything_moves(name, value):
    arm = Arm()
    with pytest.raises(RobotError, match=f"{name}: found {value}; expected a number above 0"):
        _run(arm, _chunk([1]), **{name: value})
    assert not arm.sent


def test_a_robot_that_does_not_know_where_it_is_does_not_move():
    arm = Placed([np.nan])
    with pytest.raises(RobotError, match=r"position: found .*nan.*; expected finite numbers"):
        _run(arm, _chunk([1]), limits=Limits(max_step=1), action_type="absolute")
    assert not arm.sent and arm.stopped == 1


ROBOT = """
import threading

class Robot:
    def observe(self):
        return {"task": "move"}

    def act(self, action):
        print("moves", flush=True)

    def stop(self):
        print("is stopped", flush=True)

class Blind(Robot):
    def observe(self):
        threading.Event().wait()
"""


@pytest.fixture
def client(tmp_path):
    """Start tools/robot_client.py with a robot of ROBOT, against a server that always answers."""

    def answer(connection):
        connection.send(pack({"noise_shape": [4, 1], "action_type": "delta", "action_dims": ["x"]}))
        for _ in connection:
            connection.send(pack({"actions": np.ones((4, 1), np.float32)}))

    def start(robot, *arguments):
        uri = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        command = [sys.executable, str(ROOT / "tools/robot_client.py"), uri, "--robot", f"my_robot:{robot}"]
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT / "workflow")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        stack.enter_context(process)
        stack.callback(process.kill)
        return process

    (tmp_path / "my_robot.py").write_text(ROBOT)
    with listen(answer, "127.0.0.1", 0) as server, contextlib.ExitStack() as stack:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield start
        server.shutdown()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_robot(client, number):
    process = client("Robot", "--max-steps", "1000000", "--watchdog-s", "60")
    assert process.stdout.readline() == "moves\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    *_, stopped, told = out.splitlines()
    assert process.returncode == 2 and not err
    assert stopped == "is stopped" and told.startswith("interrupted: ")


def test_a_camera_that_hangs_does_not_hold_up_the_end(client):
    process = client("Blind", "--watchdog-s", "0.1")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2 and not err
    assert out.startswith("is stopped\nthe watchdog stopped the robot: no observation and chunk within 0.1 s")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--execute", "0"], "error: execute: found 0; expected a number above 0"),
        (["--hz", "-1"], "error: hz: found -1.0; expected a number above 0"),
        (["--max-step", "fast"], "argument --max-step: found fast; expected one number, or one a dim: 0.1,0.1"),
    ],
)
def test_numbers_that_make_no_sense_are_told_to_who_typed_them(client, arguments, told):
    process = client("Robot", *arguments)
    out, err = process.communicate(timeout=60)
    assert process.returncode and told in err and "Traceback" not in err and "moves" not in out
