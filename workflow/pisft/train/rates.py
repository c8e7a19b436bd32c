"""How fast a run is, and what it uses: samples a second, waiting for data, MFU and memory. Start from `Rates`."""

from __future__ import annotations

import resource
import time

import torch

from pisft.config.experiment import Resolved
from pisft.model import Pi0
from pisft.train.world import World

# Dense bf16 tensor-core FLOPs a second, from the makers' data sheets.
PEAK_FLOPS = {
    "A100": 312e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "H200": 989e12,
    "B200": 2250e12,
    "L40S": 362e12,
    "4090": 165e12,
}


class Rates:
    """Of the stretch since the last `restart`; what validating and saving took is in none."""

    def __init__(self, config: Resolved, model: Pi0, world: World):
        self.batch_size, self.world = config.train.global_batch_size, world
        self.restart()

    def restart(self) -> None:
        """Begin a new stretch."""
        self.start, self.waited, self.samples = time.perf_counter(), 0.0, 0

    def waiting(self, batches):
        """The same batches, the wait for each counted."""
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def count(self, micro_batches) -> None:
        """A step was trained."""
        self.samples += self.batch_size

    def read(self) -> dict[str, float]:
        """samples_per_s of all processes, data_wait_s and memory_gib (its peak) of this one."""
        return {
            "samples_per_s": self.samples / (time.perf_counter() - self.start),
            "data_wait_s": self.waited,
            "memory_gib": _memory(self.world.device) / 2**30,
        }


def peak_flops(device: torch.device) -> float | None:
    """Of one GPU in bf16; None for what is not in the table, a CPU among them."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((flops for part, flops in PEAK_FLOPS.items() if part in name), None)


def _memory(device: torch.device) -> int:
    """Peak bytes of this process: of the allocator on a GPU, resident on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
