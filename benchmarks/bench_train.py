"""Compare samples a second of a training step with lerobot's policy in lerobot's own training step, alternating.

    python benchmarks/bench_train.py        (make bench-train)

Both have the same dimensions, weights, batch, dtype and loss (checked), and each runs in a process of its own with the
settings that it ships with. `as shipped` gives lerobot three cameras, the missing ones as masked blanks, and the prompt
padded to its length; `real cameras` gives it only those that exist. With a GPU the model has its full size and computes
in bf16; without one it is an eighth as wide and a third as deep, in fp32.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from pisft.config.finetune import Lora
from pisft.config.train import Train
from pisft.model import ModelConfig, Observation, Pi0, load_weights, lora
from pisft.model.compiling import compile_blocks
from pisft.model.runtime import configure
from pisft.train.distribution.world import World
from pisft.train.loop import Trainer
from pisft.train.step.batches import Batch
from pisft.train.step.optim import Optimizer
from safetensors.torch import save_file
from torch import Tensor, multiprocessing, nn

SLOTS = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
LIKE = {1: "MetaWorld, ManiSkill", 2: "LIBERO", 3: "RoboTwin"}
PROMPT = 24  # tokens: a sentence, in the bucket that our collator pads it to
PADDED = {"pi0": 48, "pi05": 200}
HORIZON = {"pi0": 50, "pi05": 10}
DIMS = 32  # of states and actions, none of them padding, so that both sides average over the same dims


def main() -> None:
    """Print samples/s of both sides, variant by variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="steps of each side that are timed")
    parser.add_argument("--batch", type=int, help="samples a step (default: 4 on a CPU, 16 on a GPU)")
    parser.add_argument("--variants", nargs="+", default=["pi0", "pi05"], choices=["pi0", "pi05"])
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 2, 3], choices=[1, 2, 3])
    parser.add_argument("--compile", action="store_true", help="torch.compile our blocks (cluster.compile)")
    args = parser.parse_args()
    gpu = torch.cuda.is_available()
    size = args.batch or (16 if gpu else 4)
    machine = torch.cuda.get_device_name() if gpu else f"CPU, {torch.get_num_threads()} threads"
    print(f"{machine}, {'bf16' if gpu else 'fp32'}, batch {size}, ours {'compiled' if args.compile else 'eager'}")
    header = ("", "cameras", "lerobot given", "tokens", "samples/s", "ratio min / median / max", "loss Δ")
    print("{:5} {:>7} {:>13} {:>9} {:>13} {:>26} {:>8}".format(*header))
    for variant in args.variants:
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder) / "model.safetensors"
            arguments = (variant, gpu, weights)
            with worker(Theirs, *arguments) as theirs, worker(Ours, *arguments, args.compile) as ours:
                for cameras in args.cameras:
                    for fed in (3, cameras) if cameras < 3 else (3,):
                        compare(variant, ours, theirs, size, cameras, fed, args.repeats)


def compare(variant: str, ours: Any, theirs: Any, size: int, cameras: int, fed: int, repeats: int) -> None:
    """Time both sides alternately on the same batch, and print the ratio of their samples a second."""
    difference = abs(ours("begin", size, cameras) - theirs("begin", size, cameras, fed))
    seconds = [(ours("step"), theirs("step")) for _ in range(repeats + 2)][2:]  # without the warm-up
    ratios = [b / a for a, b in seconds]
    rates = " ".join(f"{size / statistics.median(side):.2f}" for side in zip(*seconds, strict=True))
    spread = f"{min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f}"
    tokens = f"{cameras * 256 + PROMPT}/{fed * 256 + PADDED[variant]}"
    given = "as shipped" if fed == 3 else "real cameras"
    line = f"{variant:5} {cameras:>7} {given:>13} {tokens:>9} {rates:>13} {spread:>26} {difference:>8.1e}"
    print(f"{line}  {LIKE[cameras]}", flush=True)
    if difference > (2e-2 if torch.cuda.is_available() else 1e-4):
        sys.exit("the losses differ: this is no comparison")


class Ours:
    """Our model in our training step, without datasets and files."""

    def __init__(self, variant: str, full_size: bool, weights: Path, compiled: bool, finetune: Lora | None = None):
        self.device = configure()
        self.config, self.weights = dimensions(variant, full_size), weights
        self.precision = "bf16" if full_size else "fp32"
        with torch.device("meta"):
            model = Pi0(self.config)
        if finetune is not None:
            lora.wrap(model, finetune)
        for parameter in model.parameters():
            if not parameter.requires_grad and full_size:
                parameter.data = parameter.data.bfloat16()
        model.to_empty(device=self.device)
        if finetune is not None:
            lora.initialise(model, finetune, seed=0)
        if compiled:
            compile_blocks(model)
        self.model = model.train()
        load_weights(model, weights)
        self.optimizer = Optimizer(model, Train(steps=1, ema=None))

    def begin(self, size: int, cameras: int) -> float:
        """Take the common weights and a batch; returns the loss."""
        load_weights(self.model, self.weights)
        self.batch = make_batch(self.config, size, cameras).to(self.device)
        train = Train(steps=1, ema=None, precision=self.precision, global_batch_size=size)
        self.trainer = bare_trainer(self.model, self.optimizer, train, self.device, DIMS)
        batch = self.batch
        with torch.no_grad(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            loss = self.model.flow_loss(batch.observation, batch.actions, batch.noise, batch.time)
        return loss.mean().item()

    def step(self) -> float:
        """Return the seconds of one step."""
        with timed(self.device) as seconds:
            Trainer.update(self.trainer, [self.batch])
        return seconds[0]


class Theirs:
    """lerobot's policy in lerobot's `update_policy`, with its preset's optimiser and schedule."""

    def __init__(self, variant: str, full_size: bool, weights: Path):
        from accelerate import Accelerator

        self.config = dimensions(variant, full_size)
        self.device = torch.device("cuda" if full_size else "cpu")
        self.policy = lerobot_policy(self.config, self.device, "bfloat16" if full_size else "float32")
        save_file({name: p.contiguous().clone() for name, p in self.policy.state_dict().items()}, weights)
        self.weights = weights
        # as in lerobot_train: the policy's dtype decides about autocast
        precision = "bf16" if full_size else "no"
        self.accelerator = Accelerator(
            step_scheduler_with_optimizer=False, mixed_precision=precision, cpu=not full_size
        )
        torch.backends.cudnn.benchmark = torch.backends.cuda.matmul.allow_tf32 = True
        self.preset = self.policy.config.get_optimizer_preset()
        optimizer = self.preset.build(self.policy.get_optim_params())
        scheduler = self.policy.config.get_scheduler_preset().build(optimizer, 30000)
        self.policy, self.optimizer, self.scheduler = self.accelerator.prepare(self.policy, optimizer, scheduler)

    def begin(self, size: int, cameras: int, fed: int) -> float:
        """Take the common weights, the same batch, and `fed` camera features; returns the loss."""
        from safetensors.torch import load_file

        self.policy.load_state_dict(load_file(self.weights))
        self.policy.config.input_features = features(fed)
        batch = make_batch(self.config, size, cameras).to(self.device)
        self.batch = lerobot_batch(self.config, batch)
        self.noise, self.time = batch.noise[:, 0], batch.time[:, 0]
        with torch.no_grad(), self.same_draws(), self.accelerator.autocast():
            return self.policy.forward(self.batch)[0].item()

    def step(self) -> float:
        """Return the seconds of one step."""
        from lerobot.scripts.lerobot_train import update_policy

        tracker = SimpleNamespace(update_metrics=lambda _: None)
        with timed(self.device) as seconds, self.same_draws():
            update_policy(
                tracker,
                self.policy,
                self.batch,
                self.optimizer,
                self.preset.grad_clip_norm,
                self.accelerator,
                self.scheduler,
            )
        return seconds[0]

    @contextlib.contextmanager
    def same_draws(self) -> Iterator[None]:
        """Make the policy draw our noise and times while in the context."""
        with (
            mock.patch.object(self.policy.model, "sample_noise", lambda *_: self.noise),
            mock.patch.object(self.policy.model, "sample_time", lambda *_: self.time),
        ):
            yield


def dimensions(variant: str, full_size: bool) -> ModelConfig:
    """Return π₀ or π₀.₅ at full size, or an eighth as wide and a third as deep, with a vocabulary in proportion."""
    f, d = (1, 1) if full_size else (8, 3)
    return ModelConfig(
        variant=variant,
        vision={
            "width": 1152 // f,
            "depth": 27 // d,
            "mlp": 4304 // f // 16 * 16,
            "heads": 16 if full_size else 4,
            "patch": 14,
        },
        depth=18 // d,
        heads=8,
        head_dim=256 // f,
        vlm={"width": 2048 // f, "mlp": 16384 // f},
        expert={"width": 1024 // f, "mlp": 4096 // f},
        vocab_size=257152 // (f * d),
        action_dim=DIMS,
        action_horizon=HORIZON[variant],
        max_token_len=PADDED[variant],
        tokenizer={"kind": "paligemma"},
    )


def features(cameras: int) -> dict[str, Any]:
    """Return lerobot's input features."""
    from lerobot.configs.types import FeatureType, PolicyFeature

    found = {f"observation.images.{slot}": PolicyFeature(FeatureType.VISUAL, (3, 224, 224)) for slot in SLOTS[:cameras]}
    return found | {"observation.state": PolicyFeature(FeatureType.STATE, (DIMS,))}


def lerobot_policy(config: ModelConfig, device: torch.device, dtype: str) -> nn.Module:
    """Return lerobot's policy of these dimensions with random weights."""
    from lerobot.configs.types import FeatureType, PolicyFeature

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import tiny_lerobot

    policy = tiny_lerobot.build(
        config,
        device=device.type,
        dtype=dtype,
        tokenizer_max_length=PADDED[config.variant],
        input_features=features(3),
        output_features={"action": PolicyFeature(FeatureType.ACTION, (DIMS,))},
    )
    return policy.to(device).train()


def make_batch(config: ModelConfig, size: int, cameras: int) -> Batch:
    """Return random inputs, the same on every call: `cameras` real cameras, a prompt without padding, one draw."""
    g = torch.Generator().manual_seed(0)
    images = {slot: torch.rand(size, 3, 224, 224, generator=g) * 2 - 1 for slot in SLOTS[:cameras]}
    observation = Observation(
        images=images,
        image_masks={slot: torch.ones(size, dtype=torch.bool) for slot in images},
        state=torch.randn(size, DIMS, generator=g),
        tokens=torch.randint(0, 10_000, (size, PROMPT), generator=g),
        token_mask=torch.ones(size, PROMPT, dtype=torch.bool),
    )
    shape = (size, 1, config.action_horizon, DIMS)
    actions, noise = torch.randn(shape, generator=g)[:, 0], torch.randn(shape, generator=g)
    return Batch(observation, actions, noise, torch.rand(size, 1, generator=g) * 0.999 + 0.001)


def lerobot_batch(config: ModelConfig, batch: Batch) -> dict[str, Tensor]:
    """Return the same batch in lerobot's keys, with the prompt padded to its length."""
    observation, pad = batch.observation, PADDED[config.variant] - PROMPT
    return {
        **{f"observation.images.{slot}": x / 2 + 0.5 for slot, x in observation.images.items()},
        "observation.state": observation.state,
        "observation.language.tokens": nn.functional.pad(observation.tokens, (0, pad)),
        "observation.language.attention_mask": nn.functional.pad(observation.token_mask, (0, pad)),
        "action": batch.actions,
    }


def bare_trainer(model: nn.Module, optimizer: Optimizer, train: Train, device: torch.device, dims: int) -> Any:
    """Return what `Trainer.update` reads of a trainer: one that has no datasets and no files."""
    return SimpleNamespace(
        world=World(device),
        config=SimpleNamespace(train=train),
        model=model,
        corpus=SimpleNamespace(real_dims=dims),
        optimizer=optimizer,
        history=torch.zeros(1, 3 + dims),
        step=0,
    )


@contextlib.contextmanager
def timed(device: torch.device) -> Iterator[list[float]]:
    """Yield a list that holds the seconds of the block after it has ended, on the device too."""
    seconds: list[float] = []
    synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    synchronize()
    start = time.perf_counter()
    yield seconds
    synchronize()
    seconds.append(time.perf_counter() - start)


@contextlib.contextmanager
def worker(side: type, *args: Any, env: Mapping[str, str] | None = None) -> Iterator[Any]:
    """Start a process that holds `side(*args)`; yields a function that calls its methods by name.

    The process has the environment `env`, or that of this one.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, side, args))
    with mock.patch.dict(os.environ, os.environ if env is None else env, clear=True):
        process.start()
    there.close()

    def call(name: str, *arguments: Any) -> Any:
        here.send((name, arguments))
        return here.recv()

    call("ready")
    try:
        yield call
    finally:
        here.close()
        process.join()


def serve(connection: Any, side: type, args: tuple[Any, ...]) -> None:
    """Answer calls until the other end is closed."""
    served = side(*args)
    with contextlib.suppress(EOFError):
        while True:
            name, arguments = connection.recv()
            connection.send(None if name == "ready" else getattr(served, name)(*arguments))


if __name__ == "__main__":
    main()
