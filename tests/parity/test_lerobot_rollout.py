"""lerobot's rollouts and ours are the same episodes: its policy from our export in its MetaWorld, and ours in ours.

The noise of each chunk is ours on both sides, since lerobot draws its own from torch's global state. Images are
rendered at the model's size, since lerobot's policy resizes others without smoothing, unlike openpi and us. A seed puts
things in the same places on both sides; lerobot's evaluation gives its n-th episode the seed `--seed` + n.
"""

import re
from itertools import islice
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import tiny_checkpoint
import tiny_lerobot
import tiny_training
import torch
from pisft.config.files import load_simulator
from pisft.data.loading.preprocess import Preprocessor
from pisft.data.statistics import norm_stats
from pisft.data.statistics.base_stats import base_stats
from pisft.data.transforms.format import Format
from pisft.evaluate.policy import Policy
from pisft.evaluate.rollout import noise, rollout
from pisft.evaluate.run import evaluate
from pisft.export import checkpoint as checkpoints
from pisft.export.checkpoint import PUBLISHED, read_checkpoint
from pisft.export.lerobot import export
from pisft.model import Pi0, load_weights
from pisft.simulators import gl
from pisft.simulators.base import open_simulator

gl.choose()

from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402
from lerobot.envs.metaworld import MetaworldEnv  # noqa: E402
from lerobot.policies.factory import make_pre_post_processors  # noqa: E402
from lerobot.processor import PolicyProcessorPipeline  # noqa: E402
from lerobot.scripts.lerobot_eval import rollout as lerobot_rollout  # noqa: E402

ROOT = Path(__file__).parents[2]
TASK, SEED, STEPS, REPLAN = "button-press-topdown", 7, 12, 3
TASKS = [TASK, *(pytest.param(task, marks=[pytest.mark.slow, pytest.mark.long]) for task in ("push", "drawer-open"))]
FORMAT = {"cameras": {"base_0_rgb": "observation.image"}, "normalisation": "zscore"}


SIZE = tiny_lerobot.config("pi0").image_size


class Recorder:
    """Acts as `policy` does, and keeps what it saw: (observations, noise, chunks) of each inference."""

    def __init__(self, policy):
        self.policy, self.noise_shape, self.seen = policy, policy.noise_shape, []

    def infer(self, rows, draws):
        chunks = self.policy.infer(rows, draws)
        self.seen.append((list(rows), draws, chunks))
        return chunks


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


def _ours(run_dir):
    checkpoint = read_checkpoint(run_dir)
    model = Pi0(checkpoint.model)
    load_weights(model, checkpoint.weights)
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
    """lerobot's observation (images as floats) in our keys and types."""
    image = (seen["observation.image"][0, step].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    return {
        "observation.image": image,
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
    policy = _ours(run_dir)
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
    actor = Recorder(_ours(run_dir))
    (episode,), _ = rollout(simulator, [(TASK, SEED)], actor, replan_steps=REPLAN, batch_size=1, seed=0, workers=1)
    assert len(actor.seen) == STEPS // REPLAN
    for replan, ((row,), _, _) in enumerate(actor.seen):
        theirs = _as_ours(found["observation"], replan * REPLAN, task)
        np.testing.assert_allclose(row["observation.state"], theirs["observation.state"], atol=1e-4)
        difference = np.abs(row["observation.image"].astype(int) - theirs["observation.image"])
        assert difference.max() <= 1 and difference.mean() < 1e-2  # actions and OpenGL contexts round a few apart
    np.testing.assert_allclose(episode.actions, found["action"][0, : episode.steps].numpy(), atol=1e-4, rtol=0)
    assert episode.success == bool(found["success"][0].any())


@pytest.mark.parametrize("task", TASKS)
def test_states_and_images_are_lerobots(task):
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


@pytest.mark.parametrize("task", TASKS)
def test_an_experts_episode_is_the_same_in_both_until_it_succeeds(task):
    theirs = Small(f"{task}-v3", obs_type="pixels_agent_pos")
    theirs._ensure_env()
    theirs._env.model.vis.quality.shadowsize = 0  # it draws every step, which nobody looks at here
    ours = open_simulator(_simulator(size=SIZE, shadowsize=0).model_copy(update={"max_steps": 150}))
    for seed in (SEED, SEED + 1):  # lerobot goes on in the environment of the episode before
        ours.reset(task, seed)
        seen, _ = theirs.reset(seed=seed)
        ended = False
        while not ended:
            np.testing.assert_array_equal(ours.observation()["observation.state"], seen["agent_pos"].astype(np.float32))
            action = ours.expert_action()
            seen, _, ended, _, _ = theirs.step(action)
            ours.step(action)
            assert (ours.done, ours.success) == (ended, ended)
    theirs.close()


def test_what_lerobot_trained_is_evaluated_by_ours(run_dir, image_dataset, tmp_path):
    """A few steps of lerobot's own loss and optimiser on its own dataset, saved by its own `save_pretrained`."""
    policy, _, _ = _theirs(run_dir)
    times = [place / 80 for place in range(policy.config.chunk_size)]
    data = LeRobotDataset("tests/small", image_dataset, delta_timestamps={"action": times})
    stats = {"stats": data.meta.stats}
    preprocess, postprocess = make_pre_post_processors(
        policy.config,
        pretrained_path=run_dir / "export/lerobot",
        preprocessor_overrides={
            "normalizer_processor": stats,
            "tokenizer_processor": {"tokenizer_name": str(run_dir / "export/lerobot/tokenizer")},
        },
        postprocessor_overrides={"unnormalizer_processor": stats},
    )
    optimiser = policy.config.get_optimizer_preset().build(policy.parameters())
    before = policy.model.action_out_proj.weight.clone()
    policy.train()
    for batch in islice(torch.utils.data.DataLoader(data, batch_size=4), 3):
        policy.forward(preprocess(batch))[0].backward()
        optimiser.step()
        optimiser.zero_grad()
    assert (policy.model.action_out_proj.weight != before).any()
    for part in (policy.eval(), preprocess, postprocess):
        part.save_pretrained(tmp_path / "trained")

    checkpoint = read_checkpoint(run_dir)
    loop = {"simulator": "mw", "suites": ["some"], "episodes_per_task": 1, "replan_steps": REPLAN, "batch_size": 2}
    simulator = _simulator(size=SIZE).model_copy(update={"suites": {"some": ["drawer-close", "window-close"]}})
    parts = {
        "format": checkpoint.format.model_dump(mode="json"),
        "norm_stats": {"from": "base"},
        "eval": {"closed_loop": loop},
        "simulators": {"mw": simulator.model_dump(mode="json")},
    }
    model = checkpoint.model.model_dump(mode="json") | {"base": {"path": "trained"}}
    config = tiny_training.make_experiment(tmp_path, image_dataset, model=model, parts=parts, steps=0)
    folder = tmp_path / "results/tiny"
    norm_stats.save(norm_stats.load(base_stats(config, tmp_path)), folder / "norm_stats.json")
    tiny_training.run(tmp_path)
    tiny_checkpoint.write_index(folder)
    actor = Recorder(_ours(folder))
    content, _ = evaluate(config, folder, tmp_path / "data", torch.device("cpu"), 1, actor=actor)

    assert [episode.steps for episode in content.closed_loop.episodes] == [STEPS, STEPS]
    for row, draw, chunk in zip(*actor.seen[-1], strict=True):
        sample = {
            "observation.image": torch.from_numpy(row["observation.image"]).permute(2, 0, 1) / 255,
            "observation.state": torch.from_numpy(row["observation.state"]),
            "task": row["task"],
        }
        with torch.inference_mode():
            theirs = postprocess(policy.predict_action_chunk(preprocess(sample), noise=torch.from_numpy(draw[None])))
        np.testing.assert_allclose(chunk, theirs[0].numpy(), atol=1e-4, rtol=0)
