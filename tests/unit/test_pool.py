"""Simulators in processes of their own: they keep their slots, carry no torch, and leave nothing behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pool_calls as calls
import pytest
from metaworld_config import simulator
from pisft.simulators.base import SimulatorError
from pisft.simulators.pool import Pool

TESTS = os.path.dirname(calls.__file__)


@pytest.fixture(autouse=True)
def _workers_find_the_calls(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", TESTS)


def test_a_slot_keeps_its_simulator_and_results_keep_their_slots():
    with Pool(simulator(), 2) as pool:
        first = pool.run(calls.remember, {slot: (slot,) for slot in range(5)})
        second = pool.run(calls.remember, dict.fromkeys((4, 1), (None,)))
    assert [before for before, _ in first.values()] == [None] * 5
    assert {slot: before for slot, (before, _) in second.items()} == {1: 1, 4: 4}
    assert len({pid for _, pid in first.values()}) == 2


def test_map_gives_every_result_with_its_item():
    with Pool(simulator(), 2) as pool:
        assert sorted(pool.map(calls.double, ((i,) for i in range(7)))) == [((i,), 2 * i) for i in range(7)]
        assert list(pool.map(calls.double, [])) == []


def test_workers_never_import_torch_and_leave_interruptions_to_the_parent():
    with Pool(simulator(), 1) as pool:
        assert pool.run(calls.torch_is_loaded, {0: ()}) == {0: False}
        assert pool.run(calls.interrupted, {0: ()}) == {0: "still here"}


def test_a_worker_that_dies_is_one_clear_error():
    with Pool(simulator(), 1) as pool, pytest.raises(SimulatorError, match="killed by signal 9") as caught:
        pool.run(calls.die, {0: ()})
    assert "simulator process 1 of 1" in str(caught.value)


def test_errors_of_a_worker_arrive_as_what_they_are():
    with Pool(simulator(), 1) as pool:
        with pytest.raises(OSError, match="/somewhere") as caught:
            pool.run(calls.full_disk, {0: ()})
        assert caught.value.errno == 28
        with pytest.raises(SimulatorError, match="KeyError: 'oops'"):
            pool.run(calls.bug, {0: ()})
        assert pool.run(calls.double, {0: (1,)}) == {0: 2}


def test_leaving_a_pool_ends_workers_that_are_at_work():
    pool = Pool(simulator(), 2)
    processes = [process for _, process in pool._workers]
    pool._send(0, (calls.linger, [(0, ())]))
    pool.close()
    assert all(process.poll() is not None for process in processes)


def test_workers_end_when_their_parent_is_killed():
    code = (
        "import time, pool_calls as calls\nfrom metaworld_config import simulator\n"
        "from pisft.simulators.pool import Pool\n"
        "pool = Pool(simulator(), 1)\nprint(pool.run(calls.remember, {0: (0,)})[0][1], flush=True)\ntime.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(100):
        status = Path(f"/proc/{worker}/status")
        if not status.exists() or "State:\tZ" in status.read_text():
            return
        time.sleep(0.1)
    raise AssertionError("the worker outlived its parent")
