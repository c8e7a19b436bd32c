"""What each process of a training job does. Start from `Work`, which submitit hands to all of them.

A process ends in one of four ways: the checkpoint is there; it was told to stop and has saved; something failed that a
person must mend, which is recorded; or the node or another process was lost. `pisft.cluster.settle` draws the
conclusion.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pisft.cluster.health import fault
from pisft.cluster.turn import Turn
from pisft.errors import PisftError

LINES = 15  # of a traceback


@dataclass(frozen=True)
class Work:
    """Train `results/<name>` below `root`, which must make what has `key`."""

    root: Path
    name: str
    key: str
    fingerprint: str
    gpus: int

    def __call__(self) -> NoReturn:
        """Never returns, so that submitit has no result to pickle: what came of it is in files."""
        for number in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, _leave)  # until training begins, there is nothing to save
        rank, local_rank = int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_LOCALID"])
        node = os.environ.get("SLURMD_NODENAME", socket.gethostname())
        run_dir = self.root / f"results/{self.name}"
        turn = Turn.current(run_dir / "slurm")
        turn.start(rank, node)
        try:
            if local_rank == 0 and (reason := self._fault(run_dir)):
                turn.leave_out(node, reason)
                _end(1)
            self._train(run_dir, lead=rank == 0)
        except KeyboardInterrupt as interruption:  # the step is saved
            if rank == 0:
                print(interruption, file=sys.stderr)
        except Exception as error:
            from pisft.train.errors import lost_peer

            if not lost_peer(error):
                text = str(error) if isinstance(error, PisftError) else _last(traceback.format_exc())
                turn.fail(text, rank=rank, node=node)
            traceback.print_exc(file=sys.stdout)  # stderr is what is shown elsewhere, and told there once
            _end(1)  # at once: taking the process group down would wait for the others
        _end(0)

    def _fault(self, run_dir: Path) -> str | None:
        from pisft.config import site

        return fault(run_dir, self.gpus, site.load(self.root).train.free_gb)

    def _train(self, run_dir: Path, lead: bool) -> None:
        from pisft.config import read_resolved, site
        from pisft.provenance.build import planned
        from pisft.stages import Node
        from pisft.train.errors import TrainingError
        from pisft.train.loop import train

        if lead and planned(Node("train", self.name), self.root).key != self.key:
            raise TrainingError(
                f"{run_dir}: configuration, code, packages or data are not what they were when the job was submitted; "
                "run the same command again to submit what is there now"
            )
        config = read_resolved(run_dir / "config.json")
        train(config, run_dir, self.root / "data", self.key, self.fingerprint, site.load(self.root))


def _leave(number: int, _: Any) -> NoReturn:
    print(f"{signal.Signals(number).name} before training began: nothing to save", file=sys.stderr)
    _end(0)


def _end(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _last(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-LINES:])
