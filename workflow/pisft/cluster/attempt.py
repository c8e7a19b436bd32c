"""The files that a job's processes leave for those who decide what comes next. Start from `Attempt.current`.

Each start of a job by SLURM is an attempt (`Attempt`). `results/<exp>/slurm/<job id>/<attempt>/` has a file for each
process that started, for each node that is not fit, and for the first failure that a person must fix.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pisft.canonical import read_json, write_json


@dataclass(frozen=True)
class Attempt:
    """One attempt of a job; `folder` may not exist yet."""

    folder: Path

    @classmethod
    def current(cls, jobs: Path) -> Attempt:
        """Return the current attempt of the job that this process runs in; `jobs` is `results/<exp>/slurm`."""
        return cls(jobs / os.environ["SLURM_JOB_ID"] / os.environ.get("SLURM_RESTART_COUNT", "0"))

    @classmethod
    def all(cls, jobs: Path, job_id: str) -> list[Attempt]:
        """Return the attempts that left files, in order."""
        folders = [path for path in (jobs / job_id).glob("*") if path.name.isdigit()]
        return [cls(path) for path in sorted(folders, key=lambda path: int(path.name))]

    def start(self, rank: int, node: str) -> None:
        """Record that this process has started."""
        write_json(self.folder / f"started.{rank}.json", {"node": node})

    def started(self) -> list[str]:
        """Return the nodes on which a process has started."""
        return sorted({read_json(path)["node"] for path in self.folder.glob("started.*.json")})

    def leave_out(self, node: str, reason: str) -> None:
        """Record that `node` is not fit for the job."""
        write_json(self.folder / f"unfit.{node}.json", {"node": node, "reason": reason})

    def unfit(self) -> dict[str, str]:
        """Return the reason by node, for the nodes that are not fit."""
        found = [read_json(path) for path in sorted(self.folder.glob("unfit.*.json"))]
        return {one["node"]: one["reason"] for one in found}

    def fail(self, message: str, **where: Any) -> None:
        """Record a failure that another attempt would not fix, unless another process recorded one before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = self.folder / f".failure.{os.getpid()}.{where.get('rank', 'batch')}"
        aside.write_text(json.dumps({"message": message} | where))
        try:
            os.link(aside, self.folder / "failure.json")  # fails if another process was first
        except FileExistsError:
            pass
        finally:
            aside.unlink()

    def failure(self) -> dict[str, Any] | None:
        """Return the first failure that was recorded, or None."""
        path = self.folder / "failure.json"
        return read_json(path) if path.is_file() else None

    def settle(self, step: int) -> None:
        """Record that the attempt is over and that the last training state was saved at `step`."""
        write_json(self.folder / "settled.json", {"step": step})

    def settled(self) -> int | None:
        """Return the step that was saved when the attempt was over; None if it was not recorded."""
        path = self.folder / "settled.json"
        return read_json(path)["step"] if path.is_file() else None
