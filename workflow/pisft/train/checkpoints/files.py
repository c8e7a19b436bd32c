"""The checkpoint of a run as it lies on disk. Knows nothing of torch. Start from `is_complete`."""

from __future__ import annotations

from pathlib import Path

from pisft.records.base import NewerRecordError, RecordError, facts_of
from pisft.records.checkpoint import CheckpointIndex

METRICS = "metrics.csv"  # of training, step by step


def state_folder(run_dir: Path, fingerprint: str) -> Path:
    """Where the run of this fingerprint keeps its states, weights and tables while it trains."""
    return run_dir / "train_state" / fingerprint[:16]


def checkpoint_files(run_dir: Path) -> list[Path]:
    """checkpoint.json, the files that it names, and how training went."""
    weights = (run_dir / "checkpoint" / name for name in CheckpointIndex.read_from(run_dir).files)
    return [run_dir / CheckpointIndex.name_of_file, *weights, run_dir / METRICS]


def is_complete(run_dir: Path, key: str, thorough: bool = False) -> bool:
    """Whether the checkpoint is there, made from what has `key`, and has the files' sizes, or `thorough`, hashes."""
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
