"""Measure how saving a training state slows steps: without saving, saving in the background, and waiting for the save.

python benchmarks/bench_save.py --turns 5        (make bench-save)
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from pisft.cli import run
from pisft.model.runtime import configure
from pisft.train.checkpoints.saving import Saver
from pisft.train.distribution.world import World
from torch import Tensor, nn

WIDTH, DEPTH, BATCH, STEPS = 1024, 24, 256, 12


class Training:
    """A plain network with AdamW: parameters, moments, and a step that changes them."""

    def __init__(self, device: torch.device):
        self.device = device
        torch.manual_seed(0)
        layers = [layer for _ in range(DEPTH) for layer in (nn.Linear(WIDTH, WIDTH), nn.GELU())]
        self.model = nn.Sequential(*layers).to(device)
        self.adamw = torch.optim.AdamW(self.model.parameters(), fused=True)
        self.batch = torch.randn(BATCH, WIDTH, device=device)
        self.step()

    def step(self) -> None:
        """Take one optimiser step."""
        self.adamw.zero_grad()
        self.model(self.batch).square().mean().backward()
        self.adamw.step()

    def tensors(self) -> dict[str, Tensor]:
        """Return the training state by name: parameters, and AdamW's state of each."""
        tensors = {}
        for name, p in self.model.named_parameters():
            tensors[name] = p.detach()
            tensors |= {f"{name}.{key}": value for key, value in self.adamw.state[p].items()}
        return tensors

    def seconds(self, steps: int) -> float:
        """Return the seconds of `steps` steps."""
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start


def show(label: str, values: list[float], unit: str = "") -> None:
    """Print minimum, median and maximum."""
    print(f"{label}: min {min(values):.2f}, median {statistics.median(values):.2f}, max {max(values):.2f} {unit}")


def main() -> None:
    """Measure steps without saving, while saving and after a save that is waited for, and print their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5, help="how often each is measured")
    parser.add_argument("--folder", type=Path, help="where to save (default: the system's temporary folder)")
    args = parser.parse_args()
    device = configure()
    training = Training(device)
    size = sum(tensor.nbytes for tensor in training.tensors().values())
    print(f"{size / 2**20:.0f} MiB of state, on {device}; {STEPS} steps follow each save")
    background, waited, whole, staging, rate = [], [], [], [], []
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        saver = Saver(Path(folder), World(device))
        saver.stage(training.tensors())  # warm up: do not measure page faults of new memory
        for repetition in range(args.turns):
            plain = training.seconds(STEPS)
            start = time.perf_counter()
            saver.stage(training.tensors())
            staging.append((time.perf_counter() - start) / (plain / STEPS))
            rate.append(size / (time.perf_counter() - start) / 2**30)
            start = time.perf_counter()
            saver.save(2 * repetition, training.tensors(), {}, lambda: None)
            training.seconds(STEPS)
            background.append((time.perf_counter() - start) / plain)
            saver.wait()
            whole.append((time.perf_counter() - start) / plain)
            start = time.perf_counter()
            saver.save(2 * repetition + 1, training.tensors(), {}, lambda: None)
            saver.wait()
            training.seconds(STEPS)
            waited.append((time.perf_counter() - start) / plain)
    show("staging over one step", staging)
    show("staging", rate, "GiB/s")
    show(f"{STEPS} steps with a save in the background over {STEPS} steps without", background)
    show("the same until the save is on disk", whole)
    show(f"{STEPS} steps after a save that is waited for over {STEPS} steps without", waited)


if __name__ == "__main__":
    run(main)
