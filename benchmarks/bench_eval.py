"""Compare rollouts a second, and sampling, with lerobot's; the two sides alternate.

    python benchmarks/bench_eval.py        (make bench-eval)

Rollouts: the quickstart's policy acts on both sides with the same noise, in our engine and in lerobot's own evaluation
of its own MetaWorld, with as many processes. `own settings`: lerobot renders images of 480 pixels, with shadows, at
every step; ours are the quickstart's. `equal settings`: both render the quickstart's images and infer for as many
episodes at once; then the episodes are the same, which is checked every round. Only steps of episodes that have not
ended count; start-up does not, since each side first runs a group of other episodes. Sampling: a chunk for one
observation, ours against lerobot's `predict_action_chunk`, same dimensions, weights and noise (checked), an eighth as
wide and a third as deep as π₀, or full size with a GPU. `as shipped`, lerobot computes the cameras, of three, that a
robot does not have as masked blanks; `real cameras` gives it only those that exist.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import gymnasium
import numpy as np
import torch
from bench_train import dimensions, features, lerobot_batch, lerobot_policy, make_batch
from pisft.config import read_resolved
from pisft.config.files import load_simulator
from pisft.config.simulators import SimulatorConfig
from pisft.evaluate.episode import Episode
from pisft.evaluate.policy import SAMPLING_STEPS, Policy, load_policy
from pisft.evaluate.rollout import noise, run_group
from pisft.model import Pi0, load_weights
from pisft.model.runtime import configure
from pisft.simulators import gl
from pisft.simulators.pool import Pool
from torch import nn

gl.choose()

from lerobot.envs.metaworld import MetaworldEnv  # noqa: E402
from lerobot.scripts import lerobot_eval  # noqa: E402

TASK, FIRST, REPLAN = "button-press-topdown", 20000, 5
WARM_UP = 10000  # first seed of the episodes that warm up both sides and are not counted
PROMPT_OF_OURS = "press the button"


class Same(MetaworldEnv):
    """lerobot's environment with the quickstart's images, which its own arguments cannot set."""

    look = None

    def _ensure_env(self):
        if self._env is None:
            super()._ensure_env()
            model = self._env.model
            model.cam_pos[model.camera(self.look.camera).id] = self.look.camera_position
            model.vis.quality.shadowsize, model.vis.quality.offsamples = self.look.shadowsize, self.look.offsamples
            if not self.look.reflectance:
                model.mat_reflectance[:] = 0
            self._env.mujoco_renderer.width = self._env.mujoco_renderer.height = self.look.size


class Actor(nn.Module):
    """Our policy with the interface of lerobot's evaluation: one action at a time, from chunks that it queues."""

    def __init__(self, policy: Policy, seeds: list[int]):
        super().__init__()
        self.policy, self.seeds, self.replan, self.queue = policy, seeds, 0, []

    def reset(self) -> None:
        """Forget the queued actions; the next observation begins an episode."""
        self.replan, self.queue = 0, []

    def select_action(self, batch: dict) -> torch.Tensor:
        """Return the next action (n, d) of each environment; a new chunk is inferred when the queue is empty.

        `batch` has lerobot's images (n, 3, H, W) in [0, 1] and states (n, s).
        """
        if not self.queue:
            images = (batch["observation.image"] * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
            rows = [
                {"observation.image": image, "observation.state": state, "task": PROMPT_OF_OURS}
                for image, state in zip(images, batch["observation.state"].float().numpy(), strict=True)
            ]
            draws = [noise(0, TASK, seed, self.replan, self.policy.noise_shape) for seed in self.seeds]
            chunks = self.policy.infer(rows, np.stack(draws))
            self.queue = list(np.stack(chunks)[:, :REPLAN].transpose(1, 0, 2))
            self.replan += 1
        return torch.from_numpy(self.queue.pop(0))


def ours(simulator: SimulatorConfig, policy: Policy, seeds: list[int], workers: int, batch: int):
    """Return (steps, seconds, [(success, steps)]), after a warm-up on other episodes."""
    with Pool(simulator, workers) as pool:

        def groups(seeds: Iterable[int]) -> list[Episode]:
            parts = itertools.batched(((TASK, seed) for seed in seeds), batch)
            return [e for part in parts for e in run_group(pool, part, policy, REPLAN, batch, seed=0)]

        groups(range(WARM_UP, WARM_UP + workers))
        started = time.perf_counter()
        done = groups(seeds)
        seconds = time.perf_counter() - started
    return sum(e.steps for e in done), seconds, [(e.success, e.steps) for e in done]


def theirs(environment: type, size: int, cap: int, policy: Policy, seeds: list[int], workers: int):
    """Return the same for lerobot's `rollout`, in as many processes, group by group."""

    def make():
        env = environment(f"{TASK}-v3", "corner2", "pixels_agent_pos", "rgb_array", size, size)
        env._max_episode_steps = cap
        return env

    def groups(seeds: list[int]) -> list[tuple[bool, int]]:
        outcomes = []
        for group in map(list, itertools.batched(seeds, workers)):
            with contextlib.redirect_stderr(io.StringIO()):
                found = lerobot_eval.rollout(envs, Actor(policy, group), *[_unchanged] * 4, seeds=group)
            for success, done in zip(found["success"].numpy(), found["done"].numpy(), strict=True):
                steps = int(np.argmax(done)) + 1 if done.any() else len(done)
                outcomes.append((bool(success[:steps].any()), min(steps, cap)))
        return outcomes

    with contextlib.closing(gymnasium.vector.AsyncVectorEnv([make] * workers, context="forkserver")) as envs:
        groups(range(WARM_UP, WARM_UP + workers))
        started = time.perf_counter()
        outcomes = groups(seeds)
        seconds = time.perf_counter() - started
    return sum(steps for _, steps in outcomes), seconds, outcomes


def _unchanged(x):
    return x


def rollouts(args: argparse.Namespace) -> None:
    """Print rollouts a second of both sides, with own and with equal settings."""
    run_dir = Path("results") / args.experiment
    policy = load_policy(read_resolved(run_dir / "config.json"), run_dir / "checkpoint", torch.device("cpu"))
    simulator = load_simulator("metaworld", ".", "benchmarks/bench_eval.py", "simulator")
    cap, Same.look = simulator.cap(TASK), simulator.render
    seeds = list(range(FIRST, FIRST + args.episodes))
    sides = {
        "own settings": (
            lambda: ours(simulator, policy, seeds, args.workers, 10),
            lambda: theirs(MetaworldEnv, 480, cap, policy, seeds, args.workers),
        ),
        "equal settings": (
            lambda: ours(simulator, policy, seeds, args.workers, args.workers),
            lambda: theirs(Same, simulator.render.size, cap, policy, seeds, args.workers),
        ),
    }
    print(f"\n{args.workers} processes, {args.episodes} episodes of {TASK}, {args.turns} rounds")
    print(
        "\n| rollouts | ours / lerobot, env steps/s: min, median, max | successes, ours and lerobot's |\n|---|---|---|"
    )
    for name, (one, other) in sides.items():
        ratios = []
        for _ in range(args.turns):
            (steps, seconds, mine), (their_steps, their_seconds, their) = one(), other()
            ratios.append((steps / seconds) / (their_steps / their_seconds))
            if name == "equal settings" and mine != their:
                sys.exit(f"the episodes differ: {mine} against {their}; this is no comparison")
        successes = [sum(success for success, _ in outcomes) for outcomes in (mine, their)]
        print(f"| {name} | {show(ratios)} | {successes[0]} and {successes[1]} of {args.episodes} |", flush=True)


def sampling(args: argparse.Namespace, device: torch.device) -> None:
    """Print the seconds that lerobot takes to sample a chunk over ours, for both variants and several cameras."""
    full_size = device.type == "cuda"
    print("\n| sampling | cameras | lerobot given | lerobot / ours, seconds: min, median, max |\n|---|---|---|---|")
    for variant, (cameras, fed) in itertools.product(("pi0", "pi05"), ((1, 3), (1, 1), (3, 3))):
        config = dimensions(variant, full_size)
        policy = lerobot_policy(config, device, "bfloat16" if full_size else "float32").eval()
        policy.config.input_features = features(fed)
        with tempfile.TemporaryDirectory() as folder:
            policy.save_pretrained(folder)
            model = Pi0(config)
            load_weights(model, folder)
        model = model.to(device).eval()
        batch = make_batch(config, 1, cameras)
        inputs = {key: value.to(device) for key, value in lerobot_batch(config, batch).items() if key != "action"}
        start, observation = (
            torch.randn(1, config.action_horizon, config.action_dim).to(device),
            batch.observation.to(device),
        )

        def one(observation=observation, start=start, model=model):
            return model.sample_actions(observation, start, SAMPLING_STEPS)

        def other(inputs=inputs, start=start, policy=policy):
            return policy.predict_action_chunk(inputs, noise=start, num_steps=SAMPLING_STEPS)

        with torch.inference_mode():
            difference = (one() - other()).abs().max().item()
            if difference > (0.1 if full_size else 1e-3):
                sys.exit(f"{variant}: the chunks differ by {difference}; this is no comparison")
            ratios = []
            for _ in range(args.turns * 5):
                seconds = [timed(one, device), timed(other, device)]
                ratios.append(seconds[1] / seconds[0])
        given = "as shipped" if fed == 3 else "real cameras"
        print(f"| {variant} | {cameras} | {given} | {show(ratios)} |", flush=True)


def timed(function, device: torch.device) -> float:
    """Return the seconds of one call, with the work that it left to the GPU."""
    started = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def show(ratios: list[float]) -> str:
    """Return minimum, median and maximum as text."""
    return f"{min(ratios):.2f}, {statistics.median(ratios):.2f}, {max(ratios):.2f}"


def main() -> None:
    """Compare sampling and rollouts with lerobot, or the one that --only names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="button_press", help="whose checkpoint acts; it has to be trained")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--episodes", type=int, default=8, help="counted ones; a multiple of the processes")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", choices=["rollouts", "sampling"])
    args = parser.parse_args()
    if args.episodes % args.workers:
        parser.error(f"--episodes: found {args.episodes}; lerobot runs a multiple of --workers, {args.workers}")
    device = configure(threads=1)
    if args.only in (None, "sampling"):
        sampling(args, device)
    if args.only in (None, "rollouts"):
        rollouts(args)


if __name__ == "__main__":
    main()
