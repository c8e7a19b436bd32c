"""What tests let simulator processes do. Their interpreters find this file by PYTHONPATH."""

import os
import signal
import sys
import time


def remember(sim, value):
    before = getattr(sim, "remembered", None)
    sim.remembered = value
    return before, os.getpid()


def torch_is_loaded(sim):
    sim.reset("drawer-close", 0)
    sim.observation()
    return "torch" in sys.modules


def double(sim, x):
    return 2 * x


def die(sim, *_):
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(sim, marker, me):
    if me and not marker.exists():
        marker.touch()
        die(sim)
    return remember(sim, None)


def hang_once(sim, marker):
    if not marker.exists():
        marker.touch()
        time.sleep(60)


def full_disk(sim):
    raise OSError(28, "No space left on device", "/somewhere")


def bug(sim, *_):
    raise KeyError("oops")


def raise_once(sim, marker, me):
    if me and not marker.exists():
        marker.touch()
        bug(sim)
    return remember(sim, None)


def mistake(sim):
    from pisft.simulators.base import SimulatorError

    raise SimulatorError("no such thing")


def interrupted(sim):
    os.kill(os.getpid(), signal.SIGINT)
    return "still here"


def linger(sim):
    time.sleep(60)
