"""The work of each process of a training job. Start from `Work`, which submitit runs in all of them.

A process ends in one of four ways: the checkpoint is complete; it was told to stop and has saved; it recorded a failure
that a person must fix; or the node or another process was lost. `pisft.cluster.settle` decides what follows.
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

from pisft.cluster.attempt import Attempt
from pisft.cluster.health import fault
from pisft.errors import PisftError

LINES = 15  # of a traceback


@dataclass(frozen=True)
class Work:
    """Trains `results/<name>` below `root`; `key` is that of the checkpoint it must make."""

    root: Path
    name: str
    key: str
    fingerprint: str
    gpus: int

    def __call__(self) -> NoReturn:
        """Train, then exit; never returns, so that submitit has no result to pickle: the outcome is in files."""
        for number in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, _leave)  # before training begins there is nothing to save
        rank, local_rank = int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_LOCALID"])
        node = os.environ.get("SLURMD_NODENAME", socket.gethostname())
        run_dir = self.root / f"results/{self.name}"
        attempt = Attempt.current(run_dir / "slurm")
        attempt.start(rank, node)
        try:
            if local_rank == 0 and (reason := self._fault(run_dir)):
                attempt.leave_out(node, reason)
                _end(1)
            self._train(run_dir, lead=rank == 0)
        except KeyboardInterrupt as interruption:  # the step is saved
            if rank == 0:
                print(interruption, file=sys.stderr)
        except Exception as error:  # noqa: BLE001  whatever ended training is reported, and the process ends
            from pisft.train.errors import lost_peer

            if not lost_peer(error):
                text = str(error) if isinstance(error, PisftError) else _last(traceback.format_exc())
                attempt.fail(text, rank=rank, node=node)
            traceback.print_exc(file=sys.stdout)  # not stderr, which `follow` shows: the error is reported there once
            _end(1)  # at once: destroying the process group would wait for the other ranks
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
                f"{run_dir}: configuration, code, packages or data have changed since the job was submitted; "
                "run the same command again to submit them as they are now"
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
