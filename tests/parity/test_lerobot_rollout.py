"""lerobot's rollouts and ours are the same episodes: its policy from our export in its MetaWorld, and ours in ours.

The noise of each chunk is ours on both sides, since lerobot draws its own from torch's global state. Pictures are
rendered at the model's size, since lerobot's policy resizes others without smoothing, unlike openpi and us.
"""

import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import tiny_checkpoint
import tiny_lerobot
import torch
from pisft.config.experiment import load_simulator
from pisft.data.format import Format
from pisft.data.preprocess import Preprocessor
from pisft.evaluate.policy import Policy
from pisft.evaluate.rollout import noise, rollout
from pisft.export import checkpoint as checkpoints
from pisft.export.checkpoint import PUBLISHED, read_checkpoint
from pisft.export.lerobot import export
from pisft.model import Pi0, load_weights
from pisft.simulators import gl
from pisft.simulators.base import open_simulator

gl.choose()

from lerobot.envs.metaworld import MetaworldEnv  # noqa: E402
from lerobot.processor import PolicyProcessorPipeline  # noqa: E402
from lerobot.scripts.lerobot_eval import rollout as lerobot_rollout  # noqa: E402

ROOT = Path(__file__).parents[2]
TASK, SEED, STEPS, REPLAN = "button-press-topdown", 7, 12, 3
FORMAT = {"cameras": {"base_0_rgb": "observation.image"}, "normalisation": "zscore"}


SIZE = tiny_lerobot.config("pi0").image_size


class Small(MetaworldEnv):
    """lerobot's environment; its own size of an observation never reaches the renderer."""

    def _ensure_env(self):
        super()._ensure_env()
        self._env.mujoco_renderer.width = self._env.mujoco_renderer.height = SIZE


def _simulator(**render):
    """Our simulator with lerobot's settings."""
    simulator = load_simulator("metaworld_mt50", ROOT, "a test", "simulator")
    changes = {"max_steps": STEPS, "render": simulator.render.model_copy(update=render)}
    return simulator.model_copy(update=changes)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A checkpoint of ours with MetaWorld's four dims, exported to lerobot."""
    model = tiny_lerobot.config("pi0").model_copy(update={"max_token_len": 120})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "PUBLISHED", model.model_dump(include=set(PUBLISHED)))
        patch.setattr(tiny_checkpoint, "STATE_DIM", 4)
        root = tmp_path_factory.mktemp("project")
        patch.chdir(root)
        folder = tiny_checkpoint.make_checkpoint(root, model, **FORMAT)
        export(folder, replan_steps=REPLAN)
    return folder


def _ours(run_dir, weights):
    checkpoint = read_checkpoint(run_dir)
    model = Pi0(checkpoint.model)
    load_weights(model, weights)
    return Policy(model, Preprocessor(checkpoint.model, Format(checkpoint.format), checkpoint.stats))


def _theirs(run_dir):
    """lerobot's policy, its preprocessor and its postprocessor, as the export's README builds them."""
    (lines,) = re.findall(r"```python\n(.*?)```", (run_dir / "export/lerobot/README.md").read_text(), re.DOTALL)
    names = {}
    with tiny_lerobot.dimensions(tiny_lerobot.config("pi0")), pytest.MonkeyPatch.context() as patch:
        patch.chdir(run_dir.parents[1])
        exec(lines, names)
    return names["policy"], names["preprocess"], names["postprocess"]


def _as_ours(seen, step, task):
    """lerobot's observation (pictures as floats) in our keys and types."""
    picture = (seen["observation.image"][0, step].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    return {
        "observation.image": picture,
        "observation.state": seen["observation.state"][0, step].float().numpy(),
        "task": task,
    }


@pytest.fixture(scope="module")
def played(run_dir):
    """What lerobot's own rollout of lerobot's policy in lerobot's environment saw and did."""
    policy, preprocess, postprocess = _theirs(run_dir)
    shape = (policy.config.chunk_size, policy.config.max_action_dim)
    draws = iter(range(100))
    policy.model.sample_noise = lambda size, device: torch.from_numpy(noise(0, TASK, SEED, next(draws), shape))[None]
    env = gymnasium.vector.SyncVectorEnv(
        [lambda: Small(f"{TASK}-v3", "corner2", "pixels_agent_pos", "rgb_array", SIZE, SIZE)]
    )
    env.envs[0]._max_episode_steps = STEPS
    nothing = PolicyProcessorPipeline(steps=[])
    found = lerobot_rollout(
        env, policy, nothing, nothing, preprocess, postprocess, seeds=[SEED], return_observations=True
    )
    task = env.envs[0].task_description
    env.close()
    return found, task


def test_the_same_observations_give_the_same_actions(run_dir, played):
    found, task = played
    policy = _ours(run_dir, run_dir / "checkpoint")
    worst = 0.0
    for replan in range(STEPS // REPLAN):
        draw = noise(0, TASK, SEED, replan, policy.noise_shape)
        (chunk,) = policy.infer([_as_ours(found["observation"], replan * REPLAN, task)], draw[None])
        theirs = found["action"][0, replan * REPLAN : (replan + 1) * REPLAN].numpy()
        worst = max(worst, np.abs(chunk[:REPLAN] - theirs).max())
        np.testing.assert_allclose(chunk[:REPLAN], theirs, atol=1e-4, rtol=0)
    print(f"largest difference {worst:.1e}")


def test_the_same_seed_is_the_same_episode(run_dir, played):
    found, task = played
    simulator = _simulator(size=SIZE)
    assert simulator.tasks[TASK] == task
    policy = _ours(run_dir, run_dir / "checkpoint")
    seen = []
    infer, policy.infer = policy.infer, lambda rows, draws: (seen.append(rows[0]), infer(rows, draws))[1]
    (episode,), _ = rollout(simulator, [(TASK, SEED)], policy, replan_steps=REPLAN, batch_size=1, seed=0, workers=1)
    theirs = _as_ours(found["observation"], 0, task)
    np.testing.assert_allclose(seen[0]["observation.state"], theirs["observation.state"], atol=1e-6)
    np.testing.assert_array_equal(seen[0]["observation.image"], theirs["observation.image"])
    np.testing.assert_allclose(episode.actions, found["action"][0, : episode.steps].numpy(), atol=1e-4, rtol=0)
    assert episode.success == bool(found["success"][0].any())


@pytest.mark.parametrize("task", ["button-press-topdown", "push", "drawer-open"])
def test_states_and_pictures_are_lerobots(task):
    theirs, ours = MetaworldEnv(f"{task}-v3", obs_type="pixels_agent_pos"), open_simulator(_simulator())
    ours.reset(task, SEED)
    seen, _ = theirs.reset(seed=SEED)
    for action in np.random.default_rng(0).uniform(-1, 1, (3, 4)).astype(np.float32):
        found = ours.observation()
        np.testing.assert_array_equal(found["observation.state"], seen["agent_pos"].astype(np.float32))
        difference = np.abs(found["observation.image"].astype(int) - seen["pixels"])
        assert difference.max() <= 1 and difference.mean() < 1e-3  # two OpenGL contexts round a few apart
        seen, *_ = theirs.step(action)
        ours.step(action)
    theirs.close()


def test_what_lerobot_trained_acts_the_same_in_ours(run_dir, tmp_path):
    """A few steps of lerobot's own loss and optimiser, saved by its own `save_pretrained`."""
    policy, preprocess, _ = _theirs(run_dir)
    before = {name: weight.clone() for name, weight in policy.named_parameters()}
    simulator = _simulator(size=SIZE).model_copy(update={"max_steps": 10})
    rng = np.random.default_rng(0)
    frames = [
        {
            "observation.image": torch.from_numpy(rng.random((3, SIZE, SIZE), np.float32)),
            "observation.state": torch.from_numpy(rng.normal(size=4).astype(np.float32)),
            "action": torch.from_numpy(rng.normal(size=(1, policy.config.chunk_size, 4)).astype(np.float32)),
            "task": task,
        }
        for task in list(simulator.tasks.values())[:3]
    ]
    optimiser = policy.config.get_optimizer_preset().build(policy.parameters())
    policy.train()
    for frame in frames:
        loss, _ = policy.forward(preprocess(frame))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert any((weight != before[name]).any() for name, weight in policy.named_parameters())
    policy.eval().save_pretrained(tmp_path / "trained")

    ours = _ours(run_dir, tmp_path / "trained")
    episodes = [("drawer-close", 3), ("window-close", 4)]
    seen = []
    infer, ours.infer = ours.infer, lambda rows, draws: (seen.append((rows, draws)), infer(rows, draws))[1]
    done, _ = rollout(simulator, episodes, ours, replan_steps=5, batch_size=2, seed=0, workers=1)
    assert [episode.steps for episode in done] == [10, 10]
    rows, draws = seen[1]
    _, _, postprocess = _theirs(run_dir)
    for row, draw, episode in zip(rows, draws, done, strict=True):
        sample = {
            "observation.image": torch.from_numpy(row["observation.image"]).permute(2, 0, 1) / 255,
            "observation.state": torch.from_numpy(row["observation.state"]),
            "task": row["task"],
        }
        with torch.inference_mode():
            chunk = policy.predict_action_chunk(preprocess(sample), noise=torch.from_numpy(draw[None]))
            theirs = postprocess(chunk)[0, :5].numpy()
        np.testing.assert_allclose(episode.actions[5:], theirs, atol=1e-4, rtol=0)
