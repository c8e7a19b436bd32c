"""Starts the processes of a run on this machine, or joins those that torchrun or srun has started.

Start from `launch`. No process outlives the others: an error in one ends all, a signal to the launcher is forwarded to
all, and all end when the launcher ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from typing import Any, cast

import torch
from torch import multiprocessing as mp
from torch.multiprocessing.spawn import ProcessContext, ProcessExitedException, start_processes

from pisft.config.train import Cluster, Train
from pisft.errors import PisftError
from pisft.train.distribution.world import TIMEOUT_S, World, joined, local_device, started
from pisft.train.errors import Interrupted, TrainingError

GRACE_S = 5  # for the other processes to end, once one has failed


def launch(
    target: Callable[..., None],
    args: tuple[Any, ...],
    cluster: Cluster,
    train: Train,
    launcher: str = "local",
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Run `target(world, *args)` in every process of the run; raises what it raises.

    If torchrun or srun has started this process as one of several, it joins them. Otherwise `inline` runs in this
    process alone, and `local` starts `cluster.gpus_per_node` processes on this machine; `cluster.num_nodes` only
    matters to SLURM.
    """
    if cluster.visible_gpus is not None:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", cluster.visible_gpus)
    if variables := started():
        os.environ |= variables
        with joined(local_device(train.deterministic, train.threads), cluster, timeout_s) as world:
            target(world, *args)
        return
    processes = 1 if launcher == "inline" else cluster.gpus_per_node
    asked = cluster.num_nodes * cluster.gpus_per_node
    if processes < asked:
        print(f"cluster: asks for {asked} processes; here, {processes} do their work", file=sys.stderr)
    if processes == 1:
        target(World(local_device(train.deterministic, train.threads)), *args)
        return
    found = torch.cuda.device_count()
    if 0 < found < processes:
        raise TrainingError(f"cluster.gpus: found {cluster.gpus}; this machine has {found}")
    _spawn(target, args, processes, cluster, train, timeout_s)


def _spawn(
    target: Callable[..., None],
    args: tuple[Any, ...],
    processes: int,
    cluster: Cluster,
    train: Train,
    timeout_s: float,
) -> None:
    # the fork server imports everything once and forks all processes
    server = mp.get_context("forkserver")
    server.set_forkserver_preload([target.__module__])
    reports = server.SimpleQueue()
    where = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
    }
    if torch.cuda.device_count() == 0:
        where |= {"GLOO_SOCKET_IFNAME": "lo"}
    context = start_processes(
        _main,
        (target, args, cluster, train, timeout_s, where, reports),
        processes,
        join=False,
        start_method="forkserver",
    )
    context = cast(ProcessContext, context)  # not joined
    try:
        with _passed_on(context.pids()):
            while not context.join(grace_period=GRACE_S):
                pass
    except ProcessExitedException as error:
        if not reports.empty():
            raise TrainingError(reports.get()[1]) from None
        raise TrainingError(
            f"process {error.error_index} of {processes} was ended by {error.signal_name or error.exit_code}, and the "
            "others with it; the states saved before are intact: run the same command again to resume"
        ) from None
    if not reports.empty():
        raise Interrupted(reports.get()[1])


def _main(
    rank: int,
    target: Callable[..., None],
    args: tuple[Any, ...],
    cluster: Cluster,
    train: Train,
    timeout_s: float,
    where: dict[str, str],
    reports: Any,
) -> None:
    os.setpgid(0, 0)  # a terminal's Ctrl-C reaches the launcher alone, which passes it on once
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    os.environ |= where | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    try:
        with joined(local_device(train.deterministic, train.threads), cluster, timeout_s) as world:
            target(world, *args)
    except Interrupted as interruption:
        if rank == 0:
            reports.put(("interrupted", str(interruption)))
    except PisftError as error:
        reports.put(("error", str(error)))
        os._exit(1)  # the other ranks wait in a collective that this one never enters


def _end_with_launcher() -> None:
    cast(BaseProcess, multiprocessing.parent_process()).join()
    os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def _passed_on(pids: list[int]) -> Iterator[None]:
    """Forward SIGINT and SIGTERM of this process to all `pids` while in the context."""

    def pass_on(number: int, _: object) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
