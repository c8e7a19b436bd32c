"""The files of a run's checkpoint on disk; imports no torch. Start from `is_complete`."""

from __future__ import annotations

from pathlib import Path

from pisft.records.base import NewerRecordError, RecordError, facts_of
from pisft.records.checkpoint import CheckpointIndex

METRICS = "metrics.csv"  # of training, by step


def state_folder(run_dir: Path, fingerprint: str) -> Path:
    """Return the folder of the training states, weights and tables of the run with this fingerprint."""
    return run_dir / "train_state" / fingerprint[:16]


def checkpoint_files(run_dir: Path) -> list[Path]:
    """Return checkpoint.json, the files that it lists, and metrics.csv."""
    weights = (run_dir / "checkpoint" / name for name in CheckpointIndex.read_from(run_dir).files)
    return [run_dir / CheckpointIndex.name_of_file, *weights, run_dir / METRICS]


def is_complete(run_dir: Path, key: str, thorough: bool = False) -> bool:
    """Return whether the checkpoint has `key` and all its files with their sizes, or if `thorough`, their hashes."""
    try:
        index = CheckpointIndex.read_from(run_dir)
        if index.key != key:
            return False
        paths = {run_dir / "checkpoint" / name: facts for name, facts in index.files.items()}
        paths[run_dir / METRICS] = index.metrics
        if thorough:
            return all(facts_of(path) == facts for path, facts in paths.items())
        return all(path.stat().st_size == facts.size for path, facts in paths.items())
    except NewerRecordError:
        raise
    except (OSError, RecordError):
        return False
