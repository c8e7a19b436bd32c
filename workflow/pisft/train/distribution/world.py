"""The processes that train together, and what they agree on. Start from `joined` in a process that was started by a
launcher (`started` tells), or `World()` for one alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import torch
from torch import Tensor, distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

CPU = torch.device("cpu")
TIMEOUT_S = 1200.0


@dataclass(frozen=True)
class World:
    """One of `size` processes; `mesh` is None for one alone."""

    device: torch.device = CPU
    rank: int = 0
    size: int = 1
    mesh: DeviceMesh | None = None

    @property
    def lead(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    def share(self, total: int) -> slice:
        """This process's part of `total` places; the parts differ by at most one place."""
        return slice(self.rank * total // self.size, (self.rank + 1) * total // self.size)

    def sum(self, values: Tensor) -> Tensor:
        """`values` added up over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def barrier(self, group: distributed.ProcessGroup | None = None) -> None:
        """Wait for all processes; in `group`, where collectives of another thread must not come between."""
        if self.size > 1:
            distributed.barrier(group)


def started() -> dict[str, str] | None:
    """The variables that `joined` goes by, where a launcher has started this process as one of several, else None.

    torchrun sets them itself; of srun's step they are made up here, with a port that each start of each job has for
    itself. Inside `sbatch` or `salloc`, but not under `srun`, a process is alone.
    """
    env = os.environ
    if "WORLD_SIZE" in env:
        return {name: env[name] for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE") if name in env}
    if "SLURM_STEP_ID" not in env or int(env.get("SLURM_NTASKS", 1)) == 1:
        return None
    from submitit.slurm.slurm import SlurmJobEnvironment

    nth = int(env["SLURM_JOB_ID"]) * 31 + int(env["SLURM_STEP_ID"]) * 7 + int(env.get("SLURM_RESTART_COUNT", 0))
    return {
        "RANK": env["SLURM_PROCID"],
        "LOCAL_RANK": env["SLURM_LOCALID"],
        "WORLD_SIZE": env["SLURM_NTASKS"],
        "LOCAL_WORLD_SIZE": env["SLURM_STEP_TASKS_PER_NODE"].partition("(")[0].partition(",")[0],
        "MASTER_ADDR": env.get("MASTER_ADDR", SlurmJobEnvironment().hostnames[0]),
        "MASTER_PORT": env.get("MASTER_PORT", str(20000 + nth % 12000)),  # below those that systems give away
    }


@contextlib.contextmanager
def joined(device: torch.device, timeout_s: float = TIMEOUT_S) -> Iterator[World]:
    """The world that RANK, WORLD_SIZE and MASTER_ADDR describe, as torchrun sets them; NCCL for GPUs, gloo for CPUs.

    A process that hears nothing of the others for `timeout_s` raises, at the start and at every collective.
    """
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(
        backend, timeout=timedelta(seconds=timeout_s), device_id=device if device.type == "cuda" else None
    )
    try:
        size = distributed.get_world_size()
        yield World(device, distributed.get_rank(), size, init_device_mesh(device.type, (size,)))
    finally:
        distributed.destroy_process_group()


class Vote:
    """Whether any process was asked to stop: known to all at the same step, one step late, so that nobody waits."""

    def __init__(self, world: World):
        self.world = world
        self.pending: tuple[Tensor, distributed.Work] | None = None

    def __call__(self, asked: bool) -> bool:
        """This process's request; the answer to those of the call before (of this one, for a process alone)."""
        if self.world.size == 1:
            return asked
        agreed = self.settle()
        flag = torch.tensor(int(asked))
        work = distributed.all_reduce(flag, distributed.ReduceOp.MAX, async_op=True)
        self.pending = flag, cast(distributed.Work, work)
        return agreed

    def settle(self) -> bool:
        """The answer to the last call, if there was one."""
        if self.pending is None:
            return False
        flag, work = self.pending
        work.wait()
        self.pending = None
        return bool(flag)


def local_device(deterministic: bool, threads: int) -> torch.device:
    """The GPU that LOCAL_RANK stands for, or the CPU with this process's share of `threads`, which the processes of a
    machine have together."""
    from pisft.model.runtime import configure

    device = configure(max(1, threads // int(os.environ.get("LOCAL_WORLD_SIZE", 1))), deterministic)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    return device
