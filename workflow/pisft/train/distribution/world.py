"""The processes that train together and how they communicate.

Start from `joined` in a process that a launcher started (`started` tells), or from `World()` for a single process.
"""

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

from pisft.config.train import Cluster

CPU = torch.device("cpu")
TIMEOUT_S = 1200.0


@dataclass(frozen=True)
class World:
    """One process of `size`; `mesh` is None for a single process."""

    device: torch.device = CPU
    rank: int = 0
    size: int = 1
    mesh: DeviceMesh | None = None

    @property
    def lead(self) -> bool:
        """Whether this is rank 0, which writes what is written once."""
        return self.rank == 0

    def share(self, total: int) -> slice:
        """Return this rank's slice of `total` items; the sizes of the slices differ by at most one."""
        return slice(self.rank * total // self.size, (self.rank + 1) * total // self.size)

    def sum(self, values: Tensor) -> Tensor:
        """Sum `values` over all ranks, in place, and return it."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def barrier(self, group: distributed.ProcessGroup | None = None) -> None:
        """Wait for all ranks; a thread passes its own `group`, apart from other threads' collectives."""
        if self.size > 1:
            distributed.barrier(group)


def started() -> dict[str, str] | None:
    """Return the variables that `joined` reads if a launcher started this process as one of several, else None.

    torchrun sets them itself. For a step of srun they are derived from SLURM's variables, with a port that depends on
    job, step and restart. Inside `sbatch` or `salloc`, but not under `srun`, a process is alone.
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
        "MASTER_PORT": env.get("MASTER_PORT", str(20000 + nth % 12000)),  # below the ephemeral ports
    }


@contextlib.contextmanager
def joined(device: torch.device, cluster: Cluster, timeout_s: float = TIMEOUT_S) -> Iterator[World]:
    """Yield the world that RANK, WORLD_SIZE, LOCAL_WORLD_SIZE and MASTER_ADDR describe, as torchrun sets them.

    NCCL for GPUs, gloo for CPUs. Initialisation and every collective raise if another rank does not answer within
    `timeout_s`. The mesh is (copies of the model, shards of each), or (shards,) for one copy.
    """
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(
        backend, timeout=timedelta(seconds=timeout_s), device_id=device if device.type == "cuda" else None
    )
    try:
        size = distributed.get_world_size()
        shards = cluster.shards(size, int(os.environ.get("LOCAL_WORLD_SIZE", size)))
        copies = size // shards
        shape, names = ((size,), ("shards",)) if copies == 1 else ((copies, shards), ("copies", "shards"))
        mesh = init_device_mesh(device.type, shape, mesh_dim_names=names)
        yield World(device, distributed.get_rank(), size, mesh)
    finally:
        distributed.destroy_process_group()


class Vote:
    """Agrees on whether any rank was asked to stop; all learn it at the same step, one step late, without waiting."""

    def __init__(self, world: World):
        self.world = world
        self.pending: tuple[Tensor, distributed.Work] | None = None

    def __call__(self, asked: bool) -> bool:
        """Submit this rank's request; returns the result of the previous call (of this one, for a single process)."""
        if self.world.size == 1:
            return asked
        agreed = self.settle()
        flag = torch.tensor(int(asked))
        work = distributed.all_reduce(flag, distributed.ReduceOp.MAX, async_op=True)
        self.pending = flag, cast(distributed.Work, work)
        return agreed

    def settle(self) -> bool:
        """Return the result of the last call's vote; False if none is pending."""
        if self.pending is None:
            return False
        flag, work = self.pending
        work.wait()
        self.pending = None
        return bool(flag)


def local_device(deterministic: bool, threads: int) -> torch.device:
    """Return the GPU of LOCAL_RANK, or the CPU with this process's share of the machine's `threads`."""
    from pisft.model.runtime import configure

    device = configure(max(1, threads // int(os.environ.get("LOCAL_WORLD_SIZE", 1))), deterministic)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    return device
