"""Each published format on a small dataset with exactly its keys: from the files to a training step and back to robot
actions, its values checked against openpi's formulas, written out here."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pisft.config import smoke
from pisft.config.dataset import SyntheticDataset
from pisft.config.files import load_model
from pisft.config.format import FormatConfig
from pisft.data import Format
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.loading.preprocess import Preprocessor, collate
from pisft.data.loading.training_set import TrainingSet
from pisft.data.sources.synthetic import generate
from pisft.data.statistics import norm_stats
from pisft.data.transforms.fit import check
from pisft.model import Pi0

ROOT = Path(__file__).parents[2]
BASE, LEFT, RIGHT = "base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb"

# As upstream has them: cameras, state keys and dims, action keys and dims, horizon, relative dims, padded width.
UPSTREAM = {
    "pi0_libero": ({BASE: "image", LEFT: "wrist_image"}, {"state": 8}, {"actions": 7}, 50, 6, None),
    "pi05_libero": ({BASE: "image", LEFT: "wrist_image"}, {"state": 8}, {"actions": 7}, 10, 0, None),
    "pi0_maniskill": ({BASE: "observation.images.top"}, {"observation.state": 7}, {"actions": 7}, 50, 0, None),
    "pi05_maniskill": ({BASE: "observation.images.top"}, {"observation.state": 7}, {"actions": 7}, 10, 0, None),
    "pi0_aloha_robotwin": (
        {
            BASE: "observation.images.cam_high",
            LEFT: "observation.images.cam_left_wrist",
            RIGHT: "observation.images.cam_right_wrist",
        },
        {"observation.state": 14},
        {"action": 14},
        50,
        [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12],
        None,
    ),
    "pi0_realworld": ({BASE: "image", LEFT: "extra_view_image"}, {"state": 19}, {"actions": 7}, 10, 0, 32),
    "pi05_metaworld": ({BASE: "observation.image"}, {"observation.state": 4}, {"action": 4}, 5, 0, None),
    "pi05_calvin": (
        {BASE: "video.image_base", LEFT: "video.image_wrist"},
        {"state.ee_pos": 3, "state.ee_rot": 3, "state.gripper": 1},
        {"action.delta_ee_pos": 3, "action.delta_ee_rot": 3, "action.gripper": 1},
        5,
        0,
        None,
    ),
    "pi0_custom": ({BASE: "image"}, {"state": 7}, {"actions": 7}, 50, 6, 32),
    "pi05_droid": (
        {BASE: "exterior_image_1_left", LEFT: "wrist_image_left"},
        {"joint_position": 7, "gripper_position": 1},
        {"actions": 8},
        16,
        7,
        None,
    ),
}
UPSTREAM |= {
    "pi05_aloha_robotwin": UPSTREAM["pi0_aloha_robotwin"],
    "pi0_metaworld": UPSTREAM["pi05_metaworld"],
    "pi0_calvin": UPSTREAM["pi05_calvin"],
}
STATE_IN_PROMPT = ("pi05_droid", "pi05_aloha_robotwin")


def dataset(name: str, kind: str, folder: Path) -> tuple[LeRobotData, SyntheticDataset]:
    """A dataset with the keys, shapes and dtypes of a format, its images stored as `kind`."""
    config = FormatConfig.from_yaml(ROOT / f"config/formats/{name}.yaml")
    features = {
        key: feature.model_copy(update={"dtype": kind}) if feature.is_image else feature
        for key, feature in config.features.items()
    }
    origin = SyntheticDataset(features=features, fps=config.fps or 10, episodes=2, frames=config.action_horizon + 2)
    generate(origin, folder)
    return LeRobotData(folder), origin


def reference(data: LeRobotData, columns: dict[str, np.ndarray], name: str, row: int) -> tuple[np.ndarray, np.ndarray]:
    """(state, actions) of a frame by openpi's definitions, one step after the other, float64."""
    _, states, actions, horizon, relative, width = UPSTREAM[name]
    state = np.concatenate([columns[key][row] for key in states]).astype(float)
    episode, _ = data.place(row)
    last = data.rows(episode)[-1]
    chunk = np.array(
        [np.concatenate([columns[key][min(row + h, last)] for key in actions]) for h in range(horizon)], float
    )
    for dim in range(relative) if isinstance(relative, int) else relative:
        chunk[:, dim] -= state[dim]
    if width is not None:
        state = np.concatenate([state, np.zeros(width - len(state))])
        chunk = np.concatenate([chunk, np.zeros((horizon, width - chunk.shape[1]))], axis=1)
    return state, chunk


def normalised(x: np.ndarray, values: np.ndarray, method: str) -> np.ndarray:
    """`x` by the statistics of all `values` (n, d), as openpi normalises."""
    if method == "zscore":
        return (x - values.mean(0)) / (values.std(0) + 1e-6)
    low, high = np.quantile(values, 0.01, axis=0), np.quantile(values, 0.99, axis=0)
    return (x - low) / (high - low + 1e-6) * 2 - 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, marks=[] if place % 2 == number else [pytest.mark.slow, pytest.mark.long])
        for place, name in enumerate(UPSTREAM)
        for number, kind in enumerate(["image", "video"])
    ],
)
def test_a_format_from_its_dataset_to_a_training_step_and_back(name, kind, tmp_path):
    cameras, states, actions, horizon, _, width = UPSTREAM[name]
    data, _ = dataset(name, kind, tmp_path / "lerobot")
    fmt = Format.from_yaml(ROOT / f"config/formats/{name}.yaml")
    assert {key: data.features[key]["dtype"] for key in cameras.values()} == dict.fromkeys(cameras.values(), kind)
    assert fmt.config.cameras == cameras and fmt.action_horizon == horizon
    check(data, fmt)
    variant, method = name.split("_")[0], fmt.config.normalisation
    assert method == {"pi0": "zscore", "pi05": "quantile"}[variant]

    columns = {key: data.column(key) for key in (*states, *actions)}
    references = [reference(data, columns, name, row) for row in range(data.num_frames)]
    every_state, every_action = np.stack([s for s, _ in references]), np.concatenate([a for _, a in references])
    stats = norm_stats.compute(data.root, fmt, horizon)
    model = load_model(f"{variant}_base~smoke", ROOT).model_copy(update={"action_horizon": horizon})
    preprocessor = Preprocessor(model, fmt, stats)
    frames = TrainingSet([data], preprocessor)
    indices = np.array([0, horizon + 1, 3])  # the second is the last of its episode
    observation, batch = frames.batch(indices)

    for index, state, chunk in zip(indices, observation.state.numpy(), batch.numpy(), strict=True):
        expected_state, expected_chunk = references[index]
        dims = len(expected_state), expected_chunk.shape[1]
        expected = normalised(expected_state, every_state, method)
        np.testing.assert_allclose(state[: dims[0]], expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(
            chunk[:, : dims[1]], normalised(expected_chunk, every_action, method), rtol=1e-4, atol=2e-3
        )
        assert not state[dims[0] :].any() and not chunk[:, dims[1] :].any()
    item = frames.item(0)
    prompt = bytes(i - 2 for i in item.tokens[1:]).decode()
    expected_prompt = "pick up the cube\n"
    if name in STATE_IN_PROMPT:
        seen = normalised(references[0][0], every_state, method)
        bins = " ".join(str(np.digitize(x, np.linspace(-1, 1, 257)[:-1]) - 1) for x in seen)
        expected_prompt = f"Task: pick up the cube, State: {bins};\nAction: "
    assert prompt == expected_prompt
    assert list(observation.images) == list(cameras)

    torch.manual_seed(0)
    network = Pi0(model)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    before = network.action_out_proj.weight.detach().clone()
    noise, time = torch.randn(batch.shape), torch.rand(len(batch))
    network.flow_loss(observation.to("cpu"), batch, noise, time).mean().backward()
    optimiser.step()
    assert (network.action_out_proj.weight != before).any() and torch.isfinite(network.action_out_proj.weight).all()
    sampled = network.sample_actions(observation.to("cpu"), noise, num_steps=2).detach().numpy()
    decoded = preprocessor.actions(sampled[0], item.encoded_state)
    assert decoded.shape == (horizon, sum(actions.values())) and np.isfinite(decoded).all()

    recorded = np.concatenate([frames.sample(0)[key] for key in actions], axis=-1)
    np.testing.assert_allclose(preprocessor.actions(batch[0].numpy(), item.encoded_state), recorded, atol=2e-5)
    one, _ = collate([item])
    assert torch.equal(one.state[0], observation.state[0])
    assert sum(states.values()) == len(references[0][0]) if width is None else width == len(stats.state.mean)


@pytest.mark.parametrize("name", UPSTREAM)
def test_a_synthetic_dataset_is_the_same_bytes_every_time(name, tmp_path):
    config = FormatConfig.from_yaml(ROOT / f"config/formats/{name}.yaml")
    origin = smoke.dataset(config, name).model_copy(update={"episodes": 1, "frames": 2})
    for folder in ("a", "b"):
        generate(origin, tmp_path / folder)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(files) > 3
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_every_format_of_the_mission_has_an_experiment():
    for name in UPSTREAM:
        assert (ROOT / f"config/experiments/{name}.yaml").is_file()
