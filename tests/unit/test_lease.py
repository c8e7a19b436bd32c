"""One writer at a time, and none is locked out by a dead one."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest
from pisft import lease
from pisft.lease import LeaseError


def held(folder, **kwargs):
    return lease.held(folder / "lease.json", **kwargs)


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def leave_behind(folder, **changes):
    """A lease as a process that is gone leaves it."""
    with held(folder):
        content = (folder / "lease.json").read_text()
    (folder / "lease.json").write_text(content)
    rewrite(folder / "lease.json", **changes)


def test_a_second_writer_is_refused_and_told_who_is_first(tmp_path):
    with held(tmp_path), pytest.raises(LeaseError, match=rf"lease.json.*process {os.getpid()} on"), held(tmp_path):
        pass


def test_the_lease_is_given_back(tmp_path):
    for _ in range(2):
        with held(tmp_path) as check:
            check()
    assert list(tmp_path.iterdir()) == []


def test_the_lease_of_a_dead_process_is_taken_over_at_once(tmp_path):
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    leave_behind(tmp_path, pid=int(gone.stdout))
    with held(tmp_path) as check:
        check()


def test_a_process_with_the_number_of_the_dead_one_does_not_keep_its_lease(tmp_path):
    leave_behind(tmp_path, started="1")
    with held(tmp_path):
        pass


def test_another_machines_lease_counts_until_its_heartbeat_stops(tmp_path):
    leave_behind(tmp_path, host="elsewhere", processes="other", pid=1)
    with pytest.raises(LeaseError, match="elsewhere"), held(tmp_path):
        pass
    old = time.time() - lease.STALE_S - 60
    os.utime(tmp_path / "lease.json", (old, old))
    with held(tmp_path) as check:
        check()


def test_a_fresh_lease_that_cannot_be_read_counts(tmp_path):
    (tmp_path / "lease.json").write_text("")
    with pytest.raises(LeaseError, match="held"), held(tmp_path):
        pass


def test_the_heartbeat_keeps_a_lease_young(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.01)
    with held(tmp_path):
        os.utime(tmp_path / "lease.json", (0, 0))
        deadline = time.monotonic() + 10
        while (tmp_path / "lease.json").stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (tmp_path / "lease.json").stat().st_mtime > 0


def test_a_writer_that_lost_its_lease_notices_and_leaves_the_new_one(tmp_path):
    with held(tmp_path) as check:
        rewrite(tmp_path / "lease.json", nonce="another")
        with pytest.raises(LeaseError, match="took over"):
            check()
    assert (tmp_path / "lease.json").exists()


def test_a_job_that_ends_soon_is_waited_for(tmp_path, capfd):
    first = held(tmp_path)
    first.__enter__()
    threading.Timer(1.0, first.__exit__, (None, None, None)).start()
    with held(tmp_path, patience_s=60):
        pass
    told = capfd.readouterr().err
    assert told.count("waiting for an earlier job to end") == 1 and f"process {os.getpid()} on" in told
