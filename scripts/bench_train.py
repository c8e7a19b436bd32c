"""Training steps a second, ours against lerobot's policy in lerobot's own training step, taken in turns.

    make bench-train

Same dimensions, weights, batch, dtype and loss. `as shipped` gives lerobot three cameras, the missing ones as masked
blanks, and the prompt padded to its length; `real cameras` gives it only those that exist. On a machine with a GPU the
model has its full size and computes in bf16; without one it is an eighth as wide and a third as deep, in fp32.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import torch
from pisft.config.experiment import Full, Lora, Train
from pisft.model import ModelConfig, Observation, Pi0, load_weights, lora
from pisft.model.flops import needed_flops
from pisft.model.runtime import configure
from pisft.train.batches import Batch
from pisft.train.loop import Trainer
from pisft.train.optim import Optimizer
from pisft.train.rates import peak_flops
from pisft.train.world import World
from safetensors.torch import save_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

SLOTS = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
LIKE = {1: "MetaWorld, ManiSkill", 2: "LIBERO", 3: "RoboTwin"}
PROMPT = 24  # tokens: a sentence, in the bucket that our collator pads it to
PADDED = {"pi0": 48, "pi05": 200}
HORIZON = {"pi0": 50, "pi05": 10}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="steps of each side that are timed")
    parser.add_argument("--batch", type=int, help="samples a step (default: 4 on a CPU, 16 on a GPU)")
    args = parser.parse_args()
    device = configure()
    gpu = device.type == "cuda"
    batch = args.batch or (16 if gpu else 4)
    threads = "" if gpu else f", {torch.get_num_threads()} threads"
    print(f"{torch.cuda.get_device_name() if gpu else 'CPU'}{threads}, {'bf16' if gpu else 'fp32'}, batch {batch}")
    print(f"{'':8}{'cameras':>8}{'lerobot given':>16}{'tokens ours/theirs':>20}{'ratio min/median/max':>24}  loss Δ")
    for variant in ("pi05",) if gpu else ("pi0", "pi05"):
        config = dimensions(variant, gpu)
        with tempfile.TemporaryDirectory() as folder:
            theirs = lerobot_policy(config, device, gpu)
            save_file(dict(_contiguous(theirs)), Path(folder) / "model.safetensors")
            ours = Ours(config, Path(folder), device)
        for cameras in (1, 2, 3):
            for given in ("as shipped", "real cameras") if cameras < 3 else ("as shipped",):
                compare(config, ours, theirs, batch, cameras, given, args.repeats)
        if gpu:
            del theirs
            gpu_figures(config, ours, batch, args.repeats)
        gc.collect()
    if not gpu:
        print("full size, samples/s, MFU and memory caps: skipped, since there is no GPU")


def dimensions(variant: str, full: bool) -> ModelConfig:
    """π₀ or π₀.₅ at full size, or an eighth as wide and a third as deep, embedding and all in proportion."""
    f, d = (1, 1) if full else (8, 3)
    return ModelConfig(
        variant=variant,
        vision={"width": 1152 // f, "depth": 27 // d, "mlp": 4304 // f, "heads": 16 if full else 4, "patch": 14},
        depth=18 // d,
        heads=8,
        head_dim=256 // f,
        vlm={"width": 2048 // f, "mlp": 16384 // f},
        expert={"width": 1024 // f, "mlp": 4096 // f},
        vocab_size=257152 if full else 257152 // (f * d),
        action_horizon=HORIZON[variant],
        max_token_len=PADDED[variant],
        tokenizer={"kind": "paligemma"},
    )


class Ours:
    """Our model in our training step, without data and files around it."""

    def __init__(self, config: ModelConfig, weights: Path, device: torch.device, finetune: Full | Lora | None = None):
        train = Train(steps=10**6, precision="bf16" if device.type == "cuda" else "fp32", ema=None)
        with torch.device("meta"):
            model = Pi0(config)
        if isinstance(finetune, Lora):
            lora.wrap(model, finetune)
            for p in model.parameters():
                p.data = p.data if p.requires_grad else p.data.bfloat16()
        model.to_empty(device=device)
        load_weights(model, weights)
        if isinstance(finetune, Lora):
            lora.initialise(model, finetune, 0)
        self.model, self.config, self.device = model.train(), config, device
        self.trainer = SimpleNamespace(
            world=World(device),
            config=SimpleNamespace(train=train),
            model=model,
            corpus=SimpleNamespace(real_dims=config.action_dim),
            optimizer=Optimizer(model, train),
            history=torch.zeros(1, 3 + config.action_dim, device=device),
            step=0,
        )

    def step(self, batch: Batch) -> Callable[[], float]:
        """One step; what it gives reads the loss, and only that waits for a GPU."""
        self.trainer.config.train = self.trainer.config.train.model_copy(update={"global_batch_size": len(batch)})
        row = Trainer.update(self.trainer, [batch])
        self.trainer.step += 1
        return lambda: row[0].item()


def lerobot_policy(config: ModelConfig, device: torch.device, full: bool) -> torch.nn.Module:
    """lerobot's policy of these dimensions, with random weights."""
    import tiny_lerobot
    from lerobot.configs.types import FeatureType, PolicyFeature

    features = {f"observation.images.{slot}": PolicyFeature(FeatureType.VISUAL, (3, 224, 224)) for slot in SLOTS}
    policy = tiny_lerobot.build(
        config,
        device=device.type,
        dtype="bfloat16" if full else "float32",
        tokenizer_max_length=PADDED[config.variant],
        input_features=features | {"observation.state": PolicyFeature(FeatureType.STATE, (32,))},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (32,))},
    )
    return policy.to(device).train()


class Theirs:
    """lerobot's policy in lerobot's `update_policy`, with the optimiser and schedule of its preset."""

    def __init__(self, policy: torch.nn.Module):
        from accelerate import Accelerator
        from lerobot.scripts.lerobot_train import update_policy

        self.policy, self.update_policy = policy, update_policy
        self.accelerator = Accelerator(cpu=next(policy.parameters()).device.type == "cpu")
        preset = policy.config.get_optimizer_preset()
        self.clip = preset.grad_clip_norm
        self.optimizer = preset.build(policy.get_optim_params())
        self.scheduler = policy.config.get_scheduler_preset().build(self.optimizer, 30000)

    def step(self, batch: dict[str, Tensor], noise: Tensor, time: Tensor) -> Callable[[], float]:
        """One step, on our draws of noise and time."""
        tracker = SimpleNamespace(update_metrics=lambda _: None)
        with (
            mock.patch.object(self.policy.model, "sample_noise", lambda *_: noise),
            mock.patch.object(self.policy.model, "sample_time", lambda *_: time),
        ):
            self.update_policy(
                tracker, self.policy, batch, self.optimizer, self.clip, self.accelerator, self.scheduler
            )
        return lambda: tracker.loss


def compare(
    config: ModelConfig, ours: Ours, policy: torch.nn.Module, size: int, cameras: int, given: str, repeats: int
) -> None:
    """Time both sides in turns on the same batch, and print the ratio of their samples a second."""
    device = ours.device
    theirs = Theirs(policy)
    batch = make_batch(config, size, cameras, device)
    fed = SLOTS if given == "as shipped" else SLOTS[:cameras]
    for slot in SLOTS:
        policy.config.input_features.pop(f"observation.images.{slot}", None)
    from lerobot.configs.types import FeatureType, PolicyFeature

    policy.config.input_features |= {
        f"observation.images.{slot}": PolicyFeature(FeatureType.VISUAL, (3, 224, 224)) for slot in fed
    }
    inputs = lerobot_batch(config, batch, cameras)
    noise, moment = batch.noise[:, 0], batch.time[:, 0]

    # weights move with every step, and the two optimisers differ: the losses are compared where both begin
    difference = abs(first_loss(ours, batch) - lerobot_loss(policy, inputs, noise, moment))
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for repeat in range(repeats + 1):
        for name, step in (("ours", lambda: ours.step(batch)), ("theirs", lambda: theirs.step(inputs, noise, moment))):
            _settle(device)
            start = time.perf_counter()
            step()()
            _settle(device)
            if repeat:  # the first is a warm-up
                seconds[name].append(time.perf_counter() - start)
    ratios = [b / a for a, b in zip(seconds["ours"], seconds["theirs"], strict=True)]
    image = (config.image_size // config.vision.patch) ** 2
    tokens = f"{cameras * image + PROMPT}/{len(fed) * image + PADDED[config.variant]}"
    spread = f"{min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f}"
    rates = " ".join(f"{size / statistics.median(seconds[name]):.2f}" for name in ("ours", "theirs"))
    print(
        f"{config.variant:8}{cameras:>8}{given:>16}{tokens:>20}{spread:>24}  {difference:.1e}  samples/s {rates}"
        f"  ({LIKE[cameras]})",
        flush=True,
    )
    tolerance = 1e-4 if device.type == "cpu" else 2e-2
    if difference > tolerance:
        sys.exit(f"the losses differ by {difference:.1e}: this is no comparison")
    load_back(ours, policy)


def make_batch(config: ModelConfig, size: int, cameras: int, device: torch.device) -> Batch:
    """Random inputs, the same on every call: `cameras` real cameras, a prompt without padding, one draw a prefix."""
    g = torch.Generator().manual_seed(0)
    images = {slot: torch.rand(size, 3, 224, 224, generator=g) * 2 - 1 for slot in SLOTS[:cameras]}
    observation = Observation(
        images=images,
        image_masks={slot: torch.ones(size, dtype=torch.bool) for slot in images},
        state=torch.randn(size, 32, generator=g),
        tokens=torch.randint(0, min(10_000, config.vocab_size), (size, PROMPT), generator=g),
        token_mask=torch.ones(size, PROMPT, dtype=torch.bool),
    )
    shape = (size, 1, config.action_horizon, 32)
    actions, noise = torch.randn(shape, generator=g)[:, 0], torch.randn(shape, generator=g)
    batch = Batch(observation, actions, noise, torch.rand(size, 1, generator=g) * 0.999 + 0.001)
    return Batch(observation.to(device), *(x.to(device) for x in (batch.actions, batch.noise, batch.time)))


def lerobot_batch(config: ModelConfig, batch: Batch, cameras: int) -> dict[str, Tensor]:
    """The same in lerobot's keys, the prompt padded to its length."""
    observation, pad = batch.observation, PADDED[config.variant] - PROMPT
    return {
        **{f"observation.images.{slot}": x / 2 + 0.5 for slot, x in observation.images.items()},
        "observation.state": observation.state,
        "observation.language.tokens": torch.nn.functional.pad(observation.tokens, (0, pad)),
        "observation.language.attention_mask": torch.nn.functional.pad(observation.token_mask, (0, pad)),
        "action": batch.actions,
    }


def first_loss(ours: Ours, batch: Batch) -> float:
    """Our loss, without a step."""
    gpu = ours.device.type == "cuda"
    with torch.no_grad(), torch.autocast(ours.device.type, torch.bfloat16, enabled=gpu):
        return ours.model.flow_loss(batch.observation, batch.actions, batch.noise, batch.time).mean().item()


def lerobot_loss(policy: torch.nn.Module, inputs: dict[str, Tensor], noise: Tensor, moment: Tensor) -> float:
    """lerobot's loss, without a step."""
    with (
        torch.no_grad(),
        mock.patch.object(policy.model, "sample_noise", lambda *_: noise),
        mock.patch.object(policy.model, "sample_time", lambda *_: moment),
    ):
        return policy.forward(inputs)[0].item()


def load_back(ours: Ours, policy: torch.nn.Module) -> None:
    """Give our model lerobot's weights again, so that the next comparison begins alike."""
    with tempfile.TemporaryDirectory() as folder:
        save_file(dict(_contiguous(policy)), Path(folder) / "model.safetensors")
        load_weights(ours.model, Path(folder))


def gpu_figures(config: ModelConfig, ours: Ours, size: int, repeats: int) -> None:
    """Samples a second and MFU of our step by cameras, and what fits under a cap on memory."""
    peak = peak_flops(ours.device)
    for cameras in (1, 2, 3):
        batch = make_batch(config, size, cameras, ours.device)
        ours.step(batch)
        _settle(ours.device)
        start = time.perf_counter()
        for _ in range(repeats):
            ours.step(batch)
        _settle(ours.device)
        rate = repeats * size / (time.perf_counter() - start)
        flops = needed_flops(config, cameras * 256, PROMPT)
        mfu = f", MFU {rate * flops / peak:.1%}" if peak else ""
        print(f"{cameras} cameras, {cameras * 256} image and {PROMPT} prompt tokens: {rate:.1f} samples/s{mfu}")
    total = torch.cuda.get_device_properties(ours.device).total_memory
    with tempfile.TemporaryDirectory() as folder:
        save_file({n: p.detach().cpu() for n, p in _named(ours.model)}, Path(folder) / "model.safetensors")
        ours.trainer.optimizer = ours.trainer.model = ours.model = None
        for name, cap, finetune in (("LoRA", 24e9, Lora(method="lora")), ("full", 80e9, Full())):
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.set_per_process_memory_fraction(min(1.0, cap / total))
            try:
                capped = Ours(config, Path(folder), ours.device, finetune)
                for _ in range(3):
                    capped.step(make_batch(config, 1, 2, ours.device))()
                print(f"{name} under {cap / 1e9:.0f} GB: {torch.cuda.max_memory_reserved() / 1e9:.1f} GB reserved")
            except torch.cuda.OutOfMemoryError:
                print(f"{name} under {cap / 1e9:.0f} GB: out of memory")
            capped = None
            torch.cuda.reset_peak_memory_stats()
    torch.cuda.set_per_process_memory_fraction(1.0)


def _named(model: Pi0):
    from pisft.model.weights import IGNORED, file_name

    yield from ((file_name(name), p) for name, p in model.named_parameters())
    yield IGNORED, torch.zeros(1)


def _contiguous(policy: torch.nn.Module):
    for name, value in policy.state_dict().items():
        yield name, value.detach().cpu().contiguous().clone()


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    os.environ.setdefault("ACCELERATE_USE_CPU", "false")
    main()
