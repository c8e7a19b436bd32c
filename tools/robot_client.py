"""Drive a robot by a policy that tools/serve.py serves: chunks at a fixed rate, with limits and a watchdog.

    python tools/robot_client.py ws://127.0.0.1:8000 --robot my_robot:Robot --hz 20 --max-velocity 0.5
    python tools/robot_client.py ws://127.0.0.1:8000 --simulator metaworld --task button-press-topdown --seed 20000

A robot is a class of yours with observe, act and stop (pisft.serving.robot.Robot); a simulator can stand in for one to
test the loop. The token is read from PISFT_POLICY_TOKEN. Ctrl-C and SIGTERM stop the robot. Exit code 0 if the task is
done, 2 if it is not.
"""

import argparse
import importlib
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from pisft.cli import run
from pisft.config.files import load_simulator
from pisft.serving.client import TOKEN, RemotePolicy
from pisft.serving.robot import Limits, Robot, RobotError, control
from pisft.simulators.base import open_simulator


class Simulated:
    """A simulator as a robot; its time is the loop's. All calls run in one thread, as OpenGL contexts require."""

    is_simulated = True  # nothing breaks if an absolute action is far away

    def __init__(self, name: str, task: str, seed: int):
        self._thread = ThreadPoolExecutor(1, "simulator")
        config = load_simulator(name, ".", "tools/robot_client.py", "--simulator")
        self.simulator = self._thread.submit(open_simulator, config).result()
        self._thread.submit(self.simulator.reset, task, seed).result()
        self.observe()  # the first image takes longest: render it before the loop

    def observe(self) -> dict[str, Any]:
        """Return the simulator's observation, see `Simulator.observation`."""
        return self._thread.submit(self.simulator.observation).result()

    def act(self, action: np.ndarray) -> bool:
        """Execute one action (d,); returns whether the task is done."""
        self._thread.submit(self.simulator.step, action).result()
        return self.simulator.success

    def stop(self) -> None:
        """Do nothing: a simulator stands still when it is not stepped."""


def main() -> int:
    """Drive the robot until it is done or stopped, and print why; returns 0 if it is done, else 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", help="address that tools/serve.py printed, ws://host:port")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--robot", metavar="MODULE:CLASS", help="your robot's class, called without arguments")
    which.add_argument("--simulator", help="one of config/simulators/ that runs in this environment")
    parser.add_argument("--task", help="task of the simulator")
    parser.add_argument("--seed", type=int, default=0, help="seed of the episode in the simulator")
    parser.add_argument("--hz", type=float, default=20.0, help="actions a second")
    parser.add_argument("--execute", type=int, default=5, help="actions to execute of each chunk")
    parser.add_argument("--max-steps", type=int, default=1000)
    parser.add_argument(
        "--max-step", type=_numbers, help="largest change of a command: one number, or one a dim: 0.1,0.1"
    )
    parser.add_argument("--max-velocity", type=_numbers, help="largest change per second, likewise")
    parser.add_argument(
        "--watchdog-s", type=float, default=1.0, help="stop the robot if an observation and its chunk take longer"
    )
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):  # SIGINT too: a shell ignores it for background commands
        signal.signal(number, signal.default_int_handler)
    with RemotePolicy(args.server, os.environ.get(TOKEN)) as policy:
        names = _dims(policy.metadata)
        robot = _robot(args)
        done = control(
            robot,
            policy.request,
            hz=args.hz,
            execute=args.execute,
            watchdog_s=args.watchdog_s,
            max_steps=args.max_steps,
            limits=Limits(args.max_step, args.max_velocity),
            action_type=policy.metadata["action_type"],
            dims=len(names),
        )
    clipped = ", ".join(f"{name} {count}" for name, count in zip(names, done.clipped, strict=False) if count)
    print(f"{done.reason}: {done.steps} steps, {done.chunks} chunks, {done.late} late; clipped: {clipped or 'none'}")
    return 0 if done.reason == "done" else 2


def _dims(metadata: dict[str, Any]) -> list[str]:
    names = metadata.get("action_dims")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise RobotError(f"action_dims: the server says {str(names)[:80]}; expected a name for each dim of an action")
    return names


def _robot(args: argparse.Namespace) -> Robot:
    if args.simulator:
        if args.task is None:
            raise RobotError("--task: is missing; a simulator needs one")
        return Simulated(args.simulator, args.task, args.seed)
    module, _, name = args.robot.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError) as error:
        raise RobotError(f"--robot {args.robot}: cannot be found ({error}); expected module:Class") from error


def _numbers(text: str) -> list[float] | float:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"found {text}; expected one number, or one a dim: 0.1,0.1") from error
    return numbers[0] if len(numbers) == 1 else numbers


if __name__ == "__main__":
    run(main)
