"""What the processes of a job leave behind, for those who decide what comes next. Start from `Turn.current`.

A job has a turn each time that SLURM starts it: `results/<exp>/slurm/<job id>/<turn>/` has a file for each process that
came so far as to start, for each node that is not fit, and for the first failure that a person must mend.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pisft.canonical import write_json


@dataclass(frozen=True)
class Turn:
    """One start of a job; `folder` may not be there yet."""

    folder: Path

    @classmethod
    def current(cls, jobs: Path) -> Turn:
        """That of the job that this process is in; `jobs` is `results/<exp>/slurm`."""
        return cls(jobs / os.environ["SLURM_JOB_ID"] / os.environ.get("SLURM_RESTART_COUNT", "0"))

    @classmethod
    def all(cls, jobs: Path, job_id: str) -> list[Turn]:
        """Those that left something, in their order."""
        folders = [path for path in (jobs / job_id).glob("*") if path.name.isdigit()]
        return [cls(path) for path in sorted(folders, key=lambda path: int(path.name))]

    def start(self, rank: int, node: str) -> None:
        """This process has come so far as to start."""
        write_json(self.folder / f"started.{rank}.json", {"node": node})

    def started(self) -> list[str]:
        """The nodes on which a process has started."""
        return sorted({json.loads(path.read_text())["node"] for path in self.folder.glob("started.*.json")})

    def leave_out(self, node: str, reason: str) -> None:
        """`node` is not fit for the job."""
        write_json(self.folder / f"unfit.{node}.json", {"node": node, "reason": reason})

    def unfit(self) -> dict[str, str]:
        """Why, by node."""
        found = [json.loads(path.read_text()) for path in sorted(self.folder.glob("unfit.*.json"))]
        return {one["node"]: one["reason"] for one in found}

    def fail(self, message: str, **where: Any) -> None:
        """Record a failure that another turn would not mend, unless another process was first."""
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = self.folder / f".failure.{os.getpid()}.{where.get('rank', 'batch')}"
        aside.write_text(json.dumps({"message": message} | where))
        try:
            os.link(aside, self.folder / "failure.json")  # the first one stays
        except FileExistsError:
            pass
        finally:
            aside.unlink()

    def failure(self) -> dict[str, Any] | None:
        """What the first process that failed has said."""
        path = self.folder / "failure.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def settle(self, step: int) -> None:
        """The turn is over and the saved state has `step` steps behind it."""
        write_json(self.folder / "settled.json", {"step": step})

    def settled(self) -> int | None:
        """The step that was saved when the turn was over; None where nobody could say."""
        path = self.folder / "settled.json"
        return json.loads(path.read_text())["step"] if path.is_file() else None
