"""A project in which an experiment of half a minute awaits training, and what one does to its job on a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from typed_project import Project

CLUSTER = Path(os.environ.get("PISFT_SLURM", "/tmp/pisft-slurm"))
EXPERIMENT = """
model: quickstart
format: pi0_libero
datasets: [{name: pi0_libero~smoke}]
split: {heldout_fraction: 0.25}
train: {steps: 60, global_batch_size: 8, peak_lr: 1.0e-3, warmup_steps: 2, precision: fp32, ema: 0.9, log_every: 1,
  validate_every: 30, save_every: 10}
logging: {tensorboard: false}
cluster: {num_nodes: 2, workers: 1}
"""
SITE = {"train": {"minutes": 10, "memory_gb": 4, "cpus": 1, "warning_s": 30, "timeout_s": 60}, "job": {"cpus": 2}}


def up() -> str | None:
    """Why there is no cluster, or None."""
    if not (CLUSTER / "etc/slurm.conf").exists():
        return "no cluster: make slurm-up starts one, where the machine can"
    answer = subprocess.run(["scontrol", "ping"], capture_output=True, text=True)
    return None if "UP" in answer.stdout else f"the cluster is down: {answer.stdout}{answer.stderr}"


def write_site(root: Path, **changes) -> None:
    site = SITE | {
        name: SITE.get(name, {}) | value if isinstance(value, dict) else value for name, value in changes.items()
    }
    (root / "config/site.yaml").write_text(json.dumps(site))


class Run:
    """The experiment in a project of its own, and the command that trains it as a job."""

    def __init__(self, project: Project):
        self.project, self.root = project, project.root
        self.run_dir = project.root / "results/tiny"
        self.commands: list[subprocess.Popen] = []

    def site(self, **changes) -> None:
        """Write config/site.yaml, with other values for some keys."""
        write_site(self.root, **changes)

    def start(self, *arguments: str, launcher: str = "slurm") -> subprocess.Popen:
        """The training command in the background; what it says goes to a file that `said` reads."""
        command = arguments or (
            sys.executable, "scripts/train.py", "results/tiny/config.json", "--launcher", launcher
        )  # fmt: skip
        path = self.root / f"said.{len(self.commands)}"
        with path.open("w") as file:
            process = subprocess.Popen(
                command,
                cwd=self.root,
                env=os.environ | {"PYTHONPATH": str(self.root / "workflow"), "OMP_NUM_THREADS": "1"},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where tests run with &
            )
        process.said = path.read_text
        self.commands.append(process)
        return process

    def trained(self, **env: str) -> str:
        """Train to the end; what was said."""
        process = self.start()
        self.ended(process)
        return process.said()

    def ended(self, process: subprocess.Popen, code: int = 0, within: float = 240) -> str:
        """Wait for the command; what it said."""
        try:
            found = process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still there after {within} s:\n{process.said()}\n{queue()}") from None
        assert found == code, f"exit {found}:\n{process.said()}"
        return process.said()

    def reaches(self, step: int) -> None:
        """Wait until the job has trained so far."""
        wait_for(lambda: self.step() >= step, 120, lambda: self.commands[-1].said() + queue())

    def step(self) -> int:
        """Of the last row of metrics.csv."""
        tables = [path.read_text().splitlines() for path in self.run_dir.glob("train_state/*/metrics.csv")]
        return max((int(rows[-1].split(",")[0]) for rows in tables if len(rows) > 1), default=0)

    def saved(self) -> int:
        """Of the last saved state."""
        return max((int(path.name[5:]) for path in self.run_dir.glob("train_state/*/step_*")), default=0)

    def jobs(self) -> list[str]:
        """Ids of all jobs that were ever submitted for it, oldest first."""
        return sorted({path.name.split("_")[0] for path in (self.run_dir / "slurm").glob("*_submission.sh")}, key=int)

    def job(self) -> str:
        """The id of its only job, once it is submitted."""
        wait_for(self.jobs, 60, lambda: self.commands[-1].said())
        (job,) = self.jobs()
        return job

    def attempts(self) -> int:
        """How often its job was started."""
        return len([path for path in (self.run_dir / "slurm" / self.job()).iterdir() if path.name.isdigit()])

    def state(self) -> str:
        """Of its job, as squeue has it."""
        return squeue(self.job(), "%T")

    def weights(self) -> str:
        """sha256 of what was published."""
        index = json.loads((self.run_dir / "checkpoint.json").read_text())
        return index["files"]["model.safetensors"]["sha256"]

    def losses(self) -> list[float]:
        """By step."""
        rows = [line.split(",") for line in (self.run_dir / "metrics.csv").read_text().splitlines()]
        assert [int(row[0]) for row in rows[1:]] == list(range(1, len(rows)))
        return [float(row[rows[0].index("loss")]) for row in rows[1:]]

    def close(self) -> None:
        """Leave no job and no command behind."""
        for process in self.commands:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if jobs := self.jobs():
            subprocess.run(["scancel", *jobs], capture_output=True)
            wait_for(lambda: not squeue(",".join(jobs), "%T", "--states=PENDING,RUNNING,COMPLETING"), 60)


def squeue(jobs: str, form: str, *more: str) -> str:
    """What squeue says of jobs, ended or not."""
    states = () if more else ("--states=all",)
    done = subprocess.run(
        ["squeue", "--noheader", f"--jobs={jobs}", f"--format={form}", *states, *more], capture_output=True, text=True
    )
    return done.stdout.strip()


def queue() -> str:
    """All of the queue, for a failed test's message."""
    return subprocess.run(["squeue", "--states=all", "--long"], capture_output=True, text=True).stdout


def wait_for(condition: Callable[[], object], within: float, told: Callable[[], str] = queue) -> None:
    """Until it is true; an AssertionError with what `told` says after `within` seconds."""
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, f"not within {within} s:\n{told()}"
        time.sleep(0.2)
