"""A lock that a killed Snakemake left is taken away, and that of one that lives never."""

import json
import sys

import pytest
from pisft.process import identity
from pisft.provenance.locks import unlock


@pytest.fixture
def locked(tmp_path):
    """A folder with a lock in it."""
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.output.lock").touch()
    return tmp_path


def note(root, **who):
    """Say in `root` that another Snakemake runs there."""
    folder = root / ".snakemake/pisft/running"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "another.json").write_text(json.dumps(identity() | who))


def holds(root):
    return any((root / ".snakemake/locks").iterdir())


def test_a_dead_ones_lock_is_taken_away_and_a_living_ones_is_not(locked):
    note(locked)
    unlock(locked)
    assert holds(locked), "it is this process, and lives"
    note(locked, started="0")
    (mine,) = (path for path in (locked / ".snakemake/pisft/running").iterdir() if path.name != "another.json")
    mine.unlink()
    unlock(locked)
    assert not holds(locked)


def test_nobody_knows_whose_a_lock_is_where_nobody_is_noted(locked):
    unlock(locked)
    assert holds(locked)


def test_one_in_an_allocation_is_noted_before_it_locks(locked, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    note(locked, started="0")
    unlock(locked)
    (mine,) = (path for path in (locked / ".snakemake/pisft/running").iterdir() if path.name != "another.json")
    assert json.loads(mine.read_text()) == identity()


def test_one_that_runs_a_job_of_another_takes_nothing_away(locked, monkeypatch):
    note(locked, started="0")
    monkeypatch.setattr(sys, "argv", ["snakemake", "--nolock", "results/x/eval.json"])
    unlock(locked)
    assert holds(locked)
