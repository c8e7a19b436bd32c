"""Simulators in processes of their own: they keep their slots, carry no torch, and leave nothing behind."""

import os
import signal
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


def test_a_worker_that_dies_is_replaced_and_what_it_held_is_called_again(tmp_path):
    with Pool(simulator(), 2) as pool:
        pool.run(calls.remember, {slot: (slot,) for slot in range(4)})
        again = (calls.remember, {slot: (10 + slot,) for slot in range(4)})
        found = pool.run(calls.die_once, {slot: (tmp_path / "died", slot == 2) for slot in range(4)}, again=again)
        assert {slot: before for slot, (before, _) in found.items()} == {0: None, 1: 1, 2: None, 3: 3}
        assert [before for before, _ in pool.run(calls.remember, {0: (0,), 2: (2,)}).values()] == [10, 12]
        assert pool.replaced == ["was killed by signal 9"]
        died = tmp_path / "in map"
        assert sorted(pid > 0 for _, (_, pid) in pool.map(calls.die_once, [(died, True), (died, True)])) == [True, True]
        assert len(pool.replaced) in (2, 3)  # both may meet it before it has


def test_a_worker_that_hangs_is_replaced(tmp_path):
    with Pool(simulator(timeout_s=8), 1) as pool:
        before = pool._workers[0].process
        pool.run(calls.remember, {0: (0,)})
        pool.run(calls.hang_once, {0: (tmp_path / "hung",)})
        assert before.poll() == -9 and pool.replaced == ["gave no answer within 8 s a chunk"]


def test_a_call_that_costs_three_workers_is_one_clear_error(capfd):
    with Pool(simulator(), 1) as pool:
        with pytest.raises(SimulatorError, match="killed by signal 9") as caught:
            pool.run(calls.die, {0: ("drawer-close", 7)})
        assert "3 processes in a row were lost at the same call (drawer-close, 7)" in str(caught.value)
        with pytest.raises(SimulatorError, match="killed by signal 9"):
            list(pool.map(calls.die, [("drawer-close", 7)]))
    assert capfd.readouterr().err.count("simulator process 1 of 1 was killed by signal 9; replaced") == 6


def test_errors_of_a_worker_arrive_as_what_they_are():
    with Pool(simulator(), 1) as pool:
        with pytest.raises(OSError, match="/somewhere") as caught:
            pool.run(calls.full_disk, {0: ()})
        assert caught.value.errno == 28
        with pytest.raises(SimulatorError, match="no such thing"):
            pool.run(calls.mistake, {0: ()})
        assert pool.run(calls.double, {0: (1,)}) == {0: 2} and pool.replaced == []


def test_a_simulator_that_raises_is_as_one_that_is_lost_and_says_what_it_raised(tmp_path, capfd):
    with Pool(simulator(), 2) as pool:
        pool.run(calls.remember, {slot: (slot,) for slot in range(4)})
        again = (calls.remember, {slot: (10 + slot,) for slot in range(4)})
        found = pool.run(calls.raise_once, {slot: (tmp_path / "raised", slot == 2) for slot in range(4)}, again=again)
        assert {slot: before for slot, (before, _) in found.items()} == {0: None, 1: 1, 2: None, 3: 3}
        assert pool.replaced == ["failed: KeyError: 'oops'"]
        with pytest.raises(SimulatorError) as caught:
            pool.run(calls.bug, {1: ("drawer-close", 7), 3: ("drawer-close", 8)})
        told = "lost at the same call (drawer-close, 7; drawer-close, 8); the last one failed: KeyError: 'oops'"
        assert told in str(caught.value)
    assert "in bug\n" in capfd.readouterr().err, "the traceback is shown too"


def test_leaving_a_pool_ends_workers_that_are_at_work():
    pool = Pool(simulator(), 2)
    processes = [worker.process for worker in pool._workers]
    pool._send(0, (calls.linger, [(0, ())]))
    pool.close()
    assert processes[0].poll() == -signal.SIGKILL and processes[1].poll() is not None


def test_workers_end_when_their_parent_is_killed_in_the_midst_of_a_call_too(tmp_path):
    code = (
        "import sys, pool_calls as calls\nfrom pathlib import Path\nfrom metaworld_config import simulator\n"
        "from pisft.simulators.pool import Pool\n"
        "pool = Pool(simulator(), 1)\nprint(pool.run(calls.remember, {0: (0,)})[0][1], flush=True)\n"
        "pool.run(calls.hang_once, {0: (Path(sys.argv[1]),)})"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, tmp_path / "busy"], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    while not (tmp_path / "busy").exists():
        assert parent.poll() is None
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    for _ in range(100):
        status = Path(f"/proc/{worker}/status")
        if not status.exists() or "State:\tZ" in status.read_text():
            return
        time.sleep(0.1)
    raise AssertionError("the worker outlived its parent")
