"""Measure training and sampling of the full-size model on GPUs: speed, share of the card's peak, and peak memory.

    python benchmarks/bench_gpu.py                     (make bench-gpu)
    python benchmarks/bench_gpu.py full chunk          only these parts

Needs no network and no weights: they are drawn on the card. π₀.₅ as in the recipe pi05_libero, two cameras, prompts of
24 tokens. Each part runs in a process of its own; one that fails or takes too long does not lose the others.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from bench_train import PROMPT, Ours, Theirs, bare_trainer, dimensions, make_batch, timed
from pisft.architecture.flops import needed_flops
from pisft.architecture.memory import estimate
from pisft.config import resolve
from pisft.config.experiment import Resolved
from pisft.config.finetune import Lora
from pisft.model import Pi0, lora
from pisft.model.runtime import configure
from pisft.model.sampling import Sampler
from pisft.train.distribution.parallel import prepare, restrict
from pisft.train.distribution.world import World
from pisft.train.loop import Trainer
from pisft.train.monitoring.rates import peak_flops
from pisft.train.step.batches import Batch
from pisft.train.step.optim import Optimizer
from torch import nn

ROOT = Path(__file__).parents[1]
CAMERAS = 2
GB = 1e9
WAYS = (("fp32, op by op", "fp32", False), ("bf16, op by op", "bf16", False), ("as served", "bf16", True))


def main() -> None:
    """Run the parts one after the other within the time given, and print what each measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--minutes", type=float, default=9.0, help="after which no more is measured")
    parser.add_argument("--repeats", type=int, default=7, help="steps or chunks that are timed, after three")
    parser.add_argument("--tiny", action="store_true", help="a small model, on a CPU too: to see that it runs")
    parser.add_argument("--here", action="store_true", help="in this process: what the command starts for each part")
    args = parser.parse_args()
    if unknown := set(args.parts) - PARTS.keys():
        parser.error(f"found {', '.join(sorted(unknown))}; expected parts of {', '.join(PARTS)}")
    if not args.tiny and not torch.cuda.is_available():
        sys.exit("there is no GPU; --tiny shows on a CPU that all parts run")
    if args.here:
        for part in args.parts:
            for line in PARTS[part](args):
                print(line, flush=True)
        return
    print(f"{torch.cuda.get_device_name()} × {torch.cuda.device_count()}" if torch.cuda.is_available() else "CPU")
    print(f"torch {torch.__version__}; min / median / max of {args.repeats}", flush=True)
    until = time.monotonic() + 60 * args.minutes
    options = ["--here", f"--repeats={args.repeats}", *(["--tiny"] if args.tiny else [])]
    for part in args.parts or PARTS:
        print(f"\n{part}", flush=True)
        try:
            left = until - time.monotonic()
            done = subprocess.run([sys.executable, __file__, part, *options], timeout=max(left, 0))
            if done.returncode:
                print(f"  failed, exit status {done.returncode}: see above", flush=True)
        except subprocess.TimeoutExpired:
            print("  not finished in the time given", flush=True)


def full(args: argparse.Namespace) -> Iterator[str]:
    """Every parameter, a whole step with the moving average: one batch, and two micro-batches."""
    for micro, pieces in ((16, 1), (32, 1), (32, 2)):
        yield training(args, micro, pieces)


def memory(args: argparse.Namespace) -> Iterator[str]:
    """Every parameter under a cap of 80 GB."""
    for changes in ({}, {"activation_checkpointing": True}):
        yield training(args, 16, 1, cap=80, cluster=changes)


def adapters(args: argparse.Namespace) -> Iterator[str]:
    """LoRA, each preset, and the smallest card."""
    for targets in ("openpi", "rlinf", "lerobot"):
        for size in (16,) if args.tiny else (16, 32):
            yield training(args, size, 1, finetune=Lora(method="lora", targets=targets))
    yield training(args, 8, 1, finetune=Lora(method="lora", targets="openpi"), cap=24)


def eager(args: argparse.Namespace) -> Iterator[str]:
    """What compiling and determinism change."""
    yield training(args, 16, 1, cluster={"compile": False})
    yield training(args, 16, 1, deterministic=True)


def theirs(args: argparse.Namespace) -> Iterator[str]:
    """lerobot's policy in lerobot's own step, given the real cameras and as shipped, and ours on the same batch."""
    size, gpu = (2, False) if args.tiny else (16, True)
    with tempfile.TemporaryDirectory() as folder, torch.device("cuda" if gpu else "cpu"):
        weights = Path(folder) / "model.safetensors"
        other = Theirs("pi05", gpu, weights)
        losses, rates = [], []
        for fed in (CAMERAS, 3):
            losses.append(other.begin(size, CAMERAS, fed))
            rates.append([size / other.step() for _ in range(args.repeats + 3)][3:])
        other = None
        empty()
        ours = Ours("pi05", gpu, weights, compiled=gpu)
        losses.append(ours.begin(size, CAMERAS))
        rates.append([size / ours.step() for _ in range(args.repeats + 3)][3:])
    for name, rate, loss in zip(("real cameras", "as shipped", "ours"), rates, losses, strict=True):
        yield f"  {name:30} {spread(rate)} samples/s, loss {loss:.5f}"
    for name, rate in zip(("real cameras", "as shipped"), rates, strict=False):
        yield f"  ours over lerobot, {name}: {statistics.median(rates[2]) / statistics.median(rate):.2f}"


def chunk(args: argparse.Namespace) -> Iterator[str]:
    """Chunks of ten steps: op by op in fp32 and in bf16, and as they are served."""
    device = configure()
    config = dimensions("pi05", not args.tiny)
    for size in (1, 8):
        batch = make_batch(config, size, CAMERAS)
        for name, precision, captures in WAYS:
            sampler = None
            empty()
            started = time.perf_counter()
            sampler = Sampler(drawn(Pi0, config, device), precision, captures=captures)
            sampler(batch.observation, batch.noise[:, 0])
            first = time.perf_counter() - started
            milliseconds = []
            for _ in range(3 + (100 if captures and not args.tiny else args.repeats)):
                with timed(device) as seconds:
                    sampler(batch.observation, batch.noise[:, 0])
                milliseconds.append(1000 * seconds[0])
            found = sorted(milliseconds[3:])
            tail = f", p99 {found[-1 - len(found) // 100]:.1f}"
            yield f"  B = {size}, {name:16} {spread(found)} ms{tail}; first {first:.0f} s; {peak(device)}"


def kernels(args: argparse.Namespace) -> Iterator[str]:
    """Where the time of a step goes."""
    device = configure()
    micro = 2 if args.tiny else 16
    step = steps(experiment(args, micro, 1, None, {}), device, micro, 1)
    for _ in range(3):
        whole = step()
    with torch.profiler.profile() as profiler:
        step()
    found = sorted(profiler.key_averages(), key=lambda k: k.self_device_time_total, reverse=True)
    busy = sum(k.self_device_time_total for k in found) / 1e6
    yield f"  {1000 * whole:.0f} ms, of which the card computes {1000 * busy:.0f} ms"
    for k in found[:15] if busy else ():
        yield f"  {k.self_device_time_total / 1e4 / busy:5.1f} %  {k.count:5} × {k.key[:90]}"


PARTS = {
    "full": full,
    "chunk": chunk,
    "adapters": adapters,
    "memory": memory,
    "kernels": kernels,
    "eager": eager,
    "theirs": theirs,
}


def training(
    args: argparse.Namespace,
    micro: int,
    pieces: int,
    finetune: Lora | None = None,
    cap: float | None = None,
    cluster: dict[str, Any] | None = None,
    deterministic: bool = False,
) -> str:
    """Time whole steps of `pieces` micro-batches of `micro` samples, under a cap in GB; returns the row."""
    empty()
    device = configure(deterministic=deterministic)
    if cap and device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(min(1.0, cap * GB / torch.cuda.mem_get_info()[1]))
    if args.tiny:
        micro = 2
    config = experiment(args, micro, pieces, finetune, cluster or {})
    label = f"batch {micro * pieces}" + (f" as {pieces} × {micro}" if pieces > 1 else "")
    label += f", LoRA {finetune.targets}" if finetune else ""
    label += "".join(f", {name}: {value}".lower() for name, value in (cluster or {}).items())
    label += (", deterministic" if deterministic else "") + (f", cap {cap:.0f} GB" if cap else "")
    try:
        started = time.perf_counter()
        step = steps(config, device, micro, pieces)
        step()
        first = time.perf_counter() - started
        rates = [micro * pieces / step() for _ in range(args.repeats + 3)][3:]
    except torch.cuda.OutOfMemoryError:
        return f"  {label:44} out of memory"
    finally:
        if device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0)
    most = peak_flops(device)
    needed = needed_flops(config.model, CAMERAS * (config.model.image_size // config.model.vision.patch) ** 2, PROMPT)
    share = f", MFU {statistics.median(rates) * needed / most:.1%}" if most and not finetune else ""
    held = f"{peak(device)}, estimated {estimate(config, 1).device / GB:.1f}"
    return f"  {label:44} {spread(rates)} samples/s{share}; first step {first:.0f} s; {held}"


def experiment(
    args: argparse.Namespace, micro: int, pieces: int, finetune: Lora | None, cluster: dict[str, Any]
) -> Resolved:
    """The recipe with random weights, another batch, and other adapters."""
    config = resolve("pi05_libero", ROOT)
    model = dimensions("pi05", not args.tiny)
    precision = "fp32" if args.tiny else "bf16"
    train = config.train.model_copy(update={"global_batch_size": micro * pieces, "precision": precision})
    machine = config.cluster.model_copy(update={"micro_batch_size": micro, "gpus": 1} | cluster)
    changes: dict[str, Any] = {"model": model, "train": train, "cluster": machine}
    return config.model_copy(update=changes | ({"finetune": finetune} if finetune else {}))


def steps(config: Resolved, device: torch.device, micro: int, pieces: int):
    """Return a function that takes one whole step and returns its seconds."""

    world = World(device)

    def build(_) -> Pi0:
        model = Pi0(config.model)
        restrict(model, config)
        prepare(model, config, world)
        return model

    model = drawn(build, config.model, device)
    if isinstance(config.finetune, Lora):
        lora.initialise(model, config.finetune, seed=0)
    model.train()
    trainer = bare_trainer(model, Optimizer(model, config.train), config.train, device, config.model.action_dim)
    batches: list[Batch] = [make_batch(config.model, micro, CAMERAS).to(device) for _ in range(pieces)]

    def step() -> float:
        with timed(device) as seconds:
            Trainer.update(trainer, batches)
        return seconds[0]

    return step


def drawn(build, config, device: torch.device) -> Any:
    """Return the model of `build(config)` on the device, with random weights."""
    with torch.device("meta"):
        model: nn.Module = build(config)
    model.to_empty(device=device)
    g = torch.Generator(device).manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.02, generator=g)
    return model


def empty() -> None:
    """Free what an earlier row held."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak(device: torch.device) -> str:
    """The card's peak memory, reserved."""
    return f"{torch.cuda.max_memory_reserved() / GB:.1f} GB" if device.type == "cuda" else "no card"


def spread(values: list[float]) -> str:
    """Minimum, median and maximum."""
    return f"{min(values):.1f} / {statistics.median(values):.1f} / {max(values):.1f}"


if __name__ == "__main__":
    main()
