"""Measures a run's speed and resources: samples a second, waiting for data, MFU and memory. Start from `Rates`."""

from __future__ import annotations

import resource
import time

import torch

from pisft.architecture.flops import needed_flops
from pisft.config.experiment import Resolved
from pisft.model import Pi0
from pisft.train.distribution.world import World
from pisft.train.step.batches import Batch

# Dense bf16 tensor-core FLOPs a second, from NVIDIA's data sheets.
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
    """Measures the interval since the last `restart`; the loop restarts it after validating and saving."""

    def __init__(self, config: Resolved, model: Pi0, world: World):
        self.config, self.world = config, world
        self.peak = peak_flops(world.device)
        parameters = list(model.parameters())
        # a weight takes three matrix products (forward, input gradient, own gradient); a frozen one skips the last
        trained = sum(p.numel() for p in parameters if p.requires_grad) / sum(p.numel() for p in parameters)
        self.passes = (2 + trained) / 3
        self.restart()

    def restart(self) -> None:
        """Begin a new interval."""
        self.start, self.waited, self.samples, self.flops = time.perf_counter(), 0.0, 0, 0.0

    def waiting(self, batches):
        """Yield the same batches, and add up the time spent waiting for them."""
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def count(self, micro_batches: list[Batch]) -> None:
        """Count one step, trained on this rank with `micro_batches`."""
        model, train = self.config.model, self.config.train
        self.samples += train.global_batch_size
        patches = (model.image_size // model.vision.patch) ** 2
        for batch in micro_batches:
            seen = batch.observation
            tokens = len(seen.images) * patches, seen.tokens.shape[1]
            self.flops += len(batch) * needed_flops(model, *tokens, train.flow_samples_per_prefix) * self.passes

    def read(self) -> dict[str, float]:
        """Return samples_per_s over all ranks; data_wait_s, memory_gib (peak) and mfu of this rank.

        mfu is the FLOPs needed over those possible at the device's peak; it is absent where that is unknown.
        """
        seconds = time.perf_counter() - self.start
        found = {
            "samples_per_s": self.samples / seconds,
            "data_wait_s": self.waited,
            "memory_gib": _memory(self.world.device) / 2**30,
        }
        return found if self.peak is None else found | {"mfu": self.flops / seconds / self.peak}


def peak_flops(device: torch.device) -> float | None:
    """Return the bf16 peak of one GPU in FLOPs a second; None for a device that is not in `PEAK_FLOPS`, or a CPU."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((flops for part, flops in PEAK_FLOPS.items() if part in name), None)


def _memory(device: torch.device) -> int:
    """Return this process's peak memory in bytes: the allocator's on a GPU, resident on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
