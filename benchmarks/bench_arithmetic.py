"""Compare the CPU time of a training step of the quickstart's model in portable arithmetic and in others, alternating.

    python benchmarks/bench_arithmetic.py        (make bench-arithmetic)

`native` leaves the libraries as they are. The others hold them to AVX2, and differ in what multiplies fp32 matrices:
MKL with its code for this processor's vendor, MKL in the mode that is the same for all vendors, or oneDNN, which is
`portable`. Each runs in a process of its own. Weights and batch are random, and the same for all; the beginning of a
hash tells which sides end with the same weights.
"""

from __future__ import annotations

import pisft  # noqa: F401 - before torch, which reads what it sets

# isort: split

import argparse
import contextlib
import hashlib
import os
import statistics
import time
from pathlib import Path

import torch
from bench_train import bare_trainer, worker
from pisft.arithmetic import PORTABLE, SWITCH
from pisft.config import resolve
from pisft.model import Observation, Pi0
from pisft.model.runtime import configure
from pisft.train.loop import Trainer
from pisft.train.step.batches import Batch
from pisft.train.step.optim import Optimizer

ROOT = Path(__file__).parents[1]
AVX2 = {name: PORTABLE[name] for name in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")}
SIDES = {
    "native": {SWITCH: "native"},
    "AVX2, MKL by vendor": {SWITCH: "native", "MKL_ENABLE_INSTRUCTIONS": "AVX2", **AVX2},
    "AVX2, MKL the same": {SWITCH: "native", "MKL_CBWR": PORTABLE["MKL_CBWR"], **AVX2},
    "portable": {},
}
PROMPT = 16  # tokens


def main() -> None:
    """Print the CPU seconds of a step on each side, and their ratios to the native one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="steps of each side that are timed")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    inherited = {name: value for name, value in os.environ.items() if name not in {*PORTABLE, SWITCH}}
    print(f"{'threads':>7}  {'':20}{'CPU s a step':>13}{'ratio min / median / max':>27}  weights")
    for threads in args.threads:
        with contextlib.ExitStack() as stack:
            sides = {
                name: stack.enter_context(worker(Steps, threads, env=inherited | env)) for name, env in SIDES.items()
            }
            turns = [{name: step("step") for name, step in sides.items()} for _ in range(args.repeats + 2)][2:]
            for name, step in sides.items():
                ratios = [turn[name] / turn["native"] for turn in turns]
                spread = f"{min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f}"
                seconds = statistics.median(turn[name] for turn in turns)
                print(f"{threads:>7}  {name:20}{seconds:>13.3f}{spread:>27}  {step('weights')}", flush=True)


class Steps:
    """Training steps of the quickstart's model on one random batch, without datasets and files."""

    def __init__(self, threads: int):
        config = resolve("quickstart", ROOT)
        device = configure(threads)
        with torch.device("meta"):
            self.model = Pi0(config.model)
        self.model.to_empty(device=device).train()
        g = torch.Generator().manual_seed(0)
        for parameter in self.model.parameters():
            parameter.data.normal_(0, 0.02, generator=g)
        train = config.train.model_copy(update={"ema": None})
        size, draws = train.global_batch_size, config.train.flow_samples_per_prefix
        pixels, dims = config.model.image_size, config.model.action_dim
        observation = Observation(
            images={slot: torch.rand(size, 3, pixels, pixels, generator=g) * 2 - 1 for slot in config.format.cameras},
            image_masks={slot: torch.ones(size, dtype=torch.bool) for slot in config.format.cameras},
            state=torch.randn(size, dims, generator=g),
            tokens=torch.randint(0, config.model.vocab_size, (size, PROMPT), generator=g),
            token_mask=torch.ones(size, PROMPT, dtype=torch.bool),
        )
        shape = (size, draws, config.model.action_horizon, dims)
        actions, noise = torch.randn(shape, generator=g)[:, 0], torch.randn(shape, generator=g)
        self.batch = Batch(observation, actions, noise, torch.rand(size, draws, generator=g) * 0.999 + 0.001)
        self.trainer = bare_trainer(self.model, Optimizer(self.model, train), train, device, dims)

    def step(self) -> float:
        """Take a step; returns its CPU seconds, those of all threads together."""
        start = time.process_time()
        Trainer.update(self.trainer, [self.batch])
        return time.process_time() - start

    def weights(self) -> str:
        """The beginning of the weights' hash."""
        digest = hashlib.sha256()
        for parameter in self.model.parameters():
            digest.update(parameter.detach().numpy().tobytes())
        return digest.hexdigest()[:12]


if __name__ == "__main__":
    main()
