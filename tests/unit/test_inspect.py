"""What an unknown dataset holds is found, and the format that is proposed for it is one that it passes."""

import json
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path

import known_robots
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import warm
import yaml
from lerobot_data import make_lerobot_dataset
from pisft.config.format import FormatConfig
from pisft.data import DataError, Format
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.transforms.fit import check
from pisft.data.transforms.format import given_names
from pisft.inspection import look
from pisft.inspection.look import inspect
from pisft.inspection.page import render
from pisft.inspection.proposal import Proposal, propose
from pisft.inspection.roles import assign
from pisft.inspection.sample import read

ROOT = Path(__file__).parents[2]
ROBOTS = {
    "aloha": known_robots.aloha,
    "aloha_without_names": lambda path: known_robots.aloha(path, named=False),
    "libero": known_robots.libero,
    "libero_without_names": lambda path: known_robots.libero(path, named=False),
    "calvin": known_robots.calvin,
}


@pytest.fixture(scope="session")
def robots(tmp_path_factory) -> dict[str, Path]:
    """A dataset of each robot; not to be changed."""
    folder = tmp_path_factory.mktemp("robots")
    return {name: make(folder / name) for name, make in ROBOTS.items()}


def proposed(root: Path, variant: str = "pi0") -> tuple[Proposal, FormatConfig]:
    """The proposal and what it says, which the dataset must pass."""
    proposal = propose(inspect(LeRobotData(root), "robot", variant))
    path = root.parent / f"{root.name}.yaml"
    path.write_text(proposal.text)
    config = FormatConfig.from_yaml(path)
    check(LeRobotData(root), Format(config), widest=32)
    return proposal, config


def changed(root: Path, target: Path, change) -> Path:
    """A copy of a dataset whose vectors, (frames, d) by key, `change` has changed."""
    shutil.copytree(root, target)
    for file in target.glob("data/*/*.parquet"):
        table = pq.read_table(file)
        columns = {
            key: np.stack(table[key].to_numpy()) for key in table.column_names if "action" in key or "state" in key
        }
        change(columns)
        for key, values in columns.items():
            column = pa.array(list(values), table.schema.field(key).type)
            table = table.set_column(table.column_names.index(key), table.schema.field(key), column)
        pq.write_table(table, file)
    return target


@pytest.mark.parametrize("robot", ROBOTS)
def test_a_dataset_passes_the_format_that_is_proposed_for_it(robots, robot):
    for variant, normalisation in (("pi0", "zscore"), ("pi05", "quantile")):
        _, config = proposed(robots[robot], variant)
        assert config.normalisation == normalisation
        assert config.discrete_state_input == (variant == "pi05")
        used = {*config.cameras.values(), *(source.key for source in [*config.state, *config.actions])}
        assert config.features.keys() == used
        assert config.fps == LeRobotData(robots[robot]).fps


@pytest.mark.parametrize("robot", ["aloha", "aloha_without_names"])
def test_joint_targets_become_relative_and_grippers_stay(robots, robot):
    proposal, config = proposed(robots[robot])
    assert (config.action_type, config.delta_mask, proposal.confidence) == ("absolute", [6, -1, 6, -1], "high")
    assert config.action_horizon == 50
    assert config.cameras == {
        "base_0_rgb": "observation.images.cam_high",
        "left_wrist_0_rgb": "observation.images.cam_left_wrist",
        "right_wrist_0_rgb": "observation.images.cam_right_wrist",
    }
    names = known_robots.ALOHA if robot == "aloha" else None
    assert config.features["action"].names == names


@pytest.mark.parametrize("robot, confidence", [("libero", "high"), ("libero_without_names", "low"), ("calvin", "high")])
def test_increments_are_told_and_get_no_mask(robots, robot, confidence):
    proposal, config = proposed(robots[robot])
    assert (config.action_type, config.delta_mask, proposal.confidence) == ("delta", [], confidence)
    assert config.action_horizon == 10


def test_the_data_tell_increments_from_targets_without_any_name(tmp_path):
    proposal, config = proposed(known_robots.libero(tmp_path / "one_finger", named=False, fingers=1))
    assert (config.action_type, proposal.confidence) == ("delta", "high")


def test_parts_are_put_in_one_order_and_what_is_there_twice_is_left_out(robots):
    _, config = proposed(robots["calvin"])
    assert [source.key for source in config.state] == ["state.ee_pos", "state.ee_rot", "state.gripper"]
    assert [source.key for source in config.actions] == [
        "action.delta_ee_pos",
        "action.delta_ee_rot",
        "action.gripper",
    ]
    assert "the same is there as delta" in assign(LeRobotData(robots["calvin"]).features, "").left_out["action.ee_pos"]


def test_nothing_is_claimed_of_actions_that_go_along_with_nothing(tmp_path):
    root = make_lerobot_dataset(tmp_path / "walks", episodes=(100,) * 6, video=False, size=(16, 16))
    assert {relation.verdict for relation in inspect(LeRobotData(root), "walks").relations} == {"unknown"}
    proposal, config = proposed(root)
    assert (config.action_type, config.delta_mask, proposal.confidence) == ("absolute", [], "no")


def test_targets_in_other_units_are_not_subtracted(robots, tmp_path):
    def degrees(columns):
        columns["action"] = np.degrees(columns["action"])

    proposal, config = proposed(changed(robots["aloha"], tmp_path / "degrees", degrees))
    assert (config.action_type, config.delta_mask) == ("absolute", [])
    assert any("in other units" in line for line in proposal.advice)


def test_a_constant_dim_goes_with_its_neighbours_and_one_that_hardly_moves_gets_a_hint(robots, tmp_path):
    def hold(columns):
        for key in ("action", "observation.state"):
            columns[key][:, 2] = 0.5
            columns[key][:, 4] *= 1e-3

    root = changed(robots["aloha"], tmp_path / "held", hold)
    seen = inspect(LeRobotData(root), "held")
    proposal, config = proposed(root)
    assert config.delta_mask == [6, -1, 6, -1]
    assert ("notice", "actions left_elbow: is 0.5 in every frame") in seen.findings
    assert [dim.name for dim in seen.actions if dim.flat] == ["left_elbow", "left_wrist_angle"]
    (hint,) = [line for line in proposal.advice if "norm_stats" in line]
    assert "actions left_wrist_angle" in hint and "left_elbow" not in hint
    setting = yaml.safe_load(re.search("`(.*)`", hint)[1])["norm_stats"]
    assert 1e-4 < setting["min_std"] < 0.2 and setting["min_range"] == pytest.approx(4 * setting["min_std"])


def test_an_angle_that_jumps_stays_absolute_and_a_rotation_is_named(robots, tmp_path):
    def wind(columns):
        for key in ("action", "observation.state"):
            columns[key][:, 0] = (4 * columns[key][:, 0] + np.pi) % (2 * np.pi) - np.pi
            four = columns[key][:, 8:12]
            columns[key][:, 8:12] = four / np.linalg.norm(four, axis=1, keepdims=True)

    root = changed(robots["aloha"], tmp_path / "wound", wind)
    seen = inspect(LeRobotData(root), "wound")
    _, config = proposed(root)
    assert config.delta_mask == [-1, 5, -1, 1, -4, 1, -1]
    assert seen.actions[0].wraps == "radians"
    assert seen.relations[0].verdict == "absolute" and seen.relations[0].alpha == pytest.approx(1, abs=0.02)
    assert any("right_shoulder: with the next three of length 1: a quaternion" in words for _, words in seen.findings)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_the_smallest_and_the_strangest_dataset_get_a_page(tmp_path):
    def spoil(columns):
        columns["state"][:] = [[np.nan, np.inf, 1.0], [np.nan, 2.0, -1.0]]
        columns["action"][:] = columns["state"][:, :2]

    names = {"state": ["$x$_{", "<b>", "observation.state.of_a_very_long_name_that_goes_on_and_on"]}
    vectors = {"state": [np.zeros((2, 3))], "action": [np.ones((2, 2))]}
    root = known_robots.write(tmp_path / "zeros", vectors, names, ["observation.images.depth"], fps=3)
    seen = inspect(LeRobotData(changed(root, tmp_path / "tiny", spoil)), "tiny")
    assert [level for level, words in seen.findings if "not finite" in words] == ["bad"] * 4
    page = render(seen, propose(seen))
    assert "<b>" not in page.replace('<div class="tile"><b>', "") and "$x$_{" in page
    assert "no colour image (depth)" in page and "<img" not in page


def test_what_looks_wrong_is_said_with_its_place(robots, tmp_path):
    def spoil(columns):
        columns["action"][3 * 70 + 5, 1] = 400.0
        columns["action"][80, 2] = np.nan
        columns["action"][:, 9] = columns["action"][:, 8]
        columns["action"][:, 7] = columns["action"][:, 7].clip(-0.3, 0.3)
        for values in columns.values():
            values[140:210, 3] = values[:70, 3]

    seen = inspect(LeRobotData(changed(robots["aloha"], tmp_path / "spoiled", spoil)), "spoiled")
    words = "\n".join(f"{level} {text}" for level, text in seen.findings)
    for expected in (
        r"notice actions left_shoulder: outliers: 400 in episode 3, frame 5",
        r"bad actions left_elbow: 1 value not finite, the first in episode 1, frame 10",
        r"notice actions right_elbow: is the same as right_shoulder in every frame",
        r"notice actions right_waist: \d+ % exactly -0.3 and \d+ % exactly 0.3, its ends: clipped",
    ):
        assert re.search(expected, words), words
    assert "is there before" not in words
    assert "not finite" in render(seen, propose(seen))


def test_episodes_that_are_there_twice_and_actions_that_copy_the_state(robots, tmp_path):
    def copy(columns):
        for values in columns.values():
            values[210:280] = values[70:140]
        columns["action"] = columns["observation.state"].copy()

    seen = inspect(LeRobotData(changed(robots["aloha"], tmp_path / "copied", copy)), "copied")
    assert ("notice", "1 of 4 episodes are there before (same vectors): 1 = 3") in seen.findings
    assert any(level == "bad" and words.startswith("action[t] is state[t]:") for level, words in seen.findings)


def test_without_tasks_a_prompt_is_asked_for(tmp_path, robots):
    root = shutil.copytree(robots["libero"], tmp_path / "silent")
    table = pq.read_table(root / "meta/tasks.parquet")
    name = next(name for name in table.column_names if name != "task_index")
    table = table.set_column(table.column_names.index(name), name, [["", "  "]])
    pq.write_table(table, root / "meta/tasks.parquet")
    proposal, config = proposed(root)
    assert proposal.needs_prompt and config.prompt.default
    assert "WRITE THIS: the dataset has no task" in proposal.text
    assert not proposed(robots["libero"])[0].needs_prompt


def test_an_episode_shorter_than_the_chunk_is_allowed_for(tmp_path):
    root = make_lerobot_dataset(tmp_path / "short", episodes=(40, 12, 44), video=False, fps=30)
    _, config = proposed(root)
    assert (config.action_horizon, config.short_episodes) == (30, "repeat")


@pytest.mark.parametrize(
    "keys, slots, left_out",
    [
        (["image", "wrist_image"], ["image", "wrist_image", None], []),
        (["observation.images.right_hand", "observation.images.top"], [1, None, 0], []),
        (["observation.images.eye_in_hand", "observation.images.agentview_rgb"], [1, 0, None], []),
        (["exterior_image_1_left", "exterior_image_2_left", "wrist_image_left"], [0, 2, None], [1]),
        (["cam_low", "cam_high", "cam_gripper_left", "cam_gripper_right"], [1, 2, 3], [0]),
        (["wristA", "wristB", "wristC"], [None, 0, 1], [2]),
        (["observation.images.handle_view"], [0, None, None], []),
        (["observation.images.depth_top", "observation.images.zed"], [1, None, None], [0]),
    ],
)
def test_cameras_get_a_slot_by_their_names(keys, slots, left_out):
    image = {"dtype": "video", "shape": [48, 64, 3]}
    vectors = {key: {"dtype": "float32", "shape": [4]} for key in ("state", "action")}
    roles = assign(dict.fromkeys(keys, image) | vectors, "info.json")
    names = ("base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb")
    expected = [keys[key] if isinstance(key, int) else key for key in slots]
    assert [roles.cameras.get(slot, (None,))[0] for slot in names] == expected
    assert list(roles.left_out) == [keys[i] for i in left_out]


@pytest.mark.parametrize(
    "keys, state, actions",
    [
        (["observation.state", "observation.environment_state", "action"], ["observation.state"], ["action"]),
        (["joint_position", "gripper_position", "actions"], ["joint_position", "gripper_position"], ["actions"]),
        (
            ["action.joint_position", "action.joint_velocity", "action.cartesian_position", "action.gripper",
             "observation.state.joint_position", "observation.state.cartesian_position", "observation.state.gripper"],
            ["observation.state.joint_position", "observation.state.gripper"],
            ["action.joint_position", "action.gripper"],
        ),
        (["rel_actions", "robot_obs", "state"], ["state"], ["rel_actions"]),
    ],
)  # fmt: skip
def test_state_and_actions_are_told_by_their_names(keys, state, actions):
    features = {key: {"dtype": "float32", "shape": [4]} for key in [*keys, "next.reward"]}
    features |= {"timestamp": {"dtype": "float32", "shape": [1]}}
    roles = assign(features, "info.json")
    assert (roles.state, roles.actions) == (state, actions)
    assert {*roles.left_out, *state, *actions} == {*keys, "next.reward"}


@pytest.mark.parametrize("path", sorted((ROOT / "config/formats").glob("*.yaml")), ids=lambda path: path.stem)
def test_published_formats_are_found_again_from_their_features(path):
    """But for what no name tells: that a camera is not used, or which slot a second exterior view is put into."""
    config = FormatConfig.from_yaml(path)
    if not config.features:
        pytest.skip("says nothing of its dataset")
    roles = assign({key: feature.model_dump() for key, feature in config.features.items()}, str(path))
    assert roles.state == [source.key for source in config.state]
    assert roles.actions == [source.key for source in config.actions]
    found = {slot: key for slot, (key, _) in roles.cameras.items()}
    if path.stem == "pi0_realworld":
        found["left_wrist_0_rgb"] = "extra_view_image"
        assert "put it into any slot that is free" in roles.left_out["extra_view_image"]
    assert found == config.cameras


def test_a_dataset_without_actions_is_refused_with_what_there_is():
    features = {"observation.state": {"dtype": "float32", "shape": [4]}}
    with pytest.raises(DataError, match=r"info.json: features: none looks like actions; .*found .*observation.state"):
        assign(features, "meta/info.json")


@pytest.mark.parametrize(
    "names, expected",
    [
        (["a", "b"], ["a", "b"]),
        ({"motors": ["a", "b"]}, ["a", "b"]),
        ({"b": 1, "a": 0}, ["a", "b"]),
        (["motors"], None),
        (None, None),
    ],
)
def test_names_come_in_several_forms(names, expected):
    assert given_names({"shape": [2], "names": names}) == expected


@pytest.mark.parametrize("grouped", [True, False])
def test_of_a_large_dataset_some_episodes_are_read(robots, tmp_path, grouped):
    root = robots["libero"] if grouped else changed(robots["libero"], tmp_path / "one_group", lambda columns: None)
    data = LeRobotData(root)
    sample = read(data, ["state", "actions"], episodes=3)
    assert sample.episodes.tolist() == [0, 2, 5]
    whole = np.concatenate([data.column("state")[data.episode_slices[episode]] for episode in (0, 2, 5)])
    np.testing.assert_array_equal(sample.values["state"], whole)
    assert sample.place(50) == "episode 2, frame 0"
    assert len(read(data, ["state"], frames=200).episodes) == 4
    assert sample.last.nonzero()[0].tolist() == [49, 99, 149]


def test_the_page_shows_every_camera_dim_and_prompt_and_nothing_of_the_machine(robots, tmp_path):
    moved = shutil.copytree(robots["aloha"], tmp_path / "elsewhere")
    pages = []
    for root in (robots["aloha"], moved):
        seen = inspect(LeRobotData(root), "robot")
        pages.append(render(seen, propose(seen)))
    assert pages[0] == pages[1]
    assert len(re.findall(r'<img src="data:image/jpeg', pages[0])) == 3 * 3 * 3
    for text in [*known_robots.ALOHA, *known_robots.ALOHA_CAMERAS, *known_robots.TASKS, "delta_mask: [6, -1, 6, -1]"]:
        assert text in pages[0]
    assert str(tmp_path) not in pages[0] and "<script" not in pages[0]


def test_the_page_says_how_much_was_read(robots, monkeypatch):
    monkeypatch.setattr(look, "read", partial(read, episodes=3))
    seen = inspect(LeRobotData(robots["libero"]), "robot")
    proposal = propose(seen)
    assert "the vectors of 3 of 6 episodes, spread evenly (150 frames)" in render(seen, proposal)
    assert "from 3 of 6 episodes" in proposal.text


def script(*args: str | Path) -> subprocess.CompletedProcess:
    return warm.run(["scripts/inspect_dataset.py", *args], ROOT)


def test_the_command_writes_the_page_and_the_format(robots, tmp_path):
    result = script(robots["libero"], "--out", tmp_path / "out", "--name", "mine", "--variant", "pi05")
    assert result.returncode == 0, result.stderr
    assert FormatConfig.from_yaml(tmp_path / "out/inspection.yaml").normalisation == "quantile"
    assert "config/formats/mine.yaml" in (tmp_path / "out/inspection.html").read_text()


def test_what_is_no_dataset_or_an_old_one_is_told_in_one_line(copied_dataset, tmp_path):
    result = script(tmp_path, "--out", tmp_path / "out")
    assert result.returncode == 1 and f"{tmp_path} is not a LeRobot dataset" in result.stderr
    info = copied_dataset / "meta/info.json"
    info.write_text(info.read_text().replace('"v3.0"', '"v2.1"'))
    result = script(copied_dataset, "--out", tmp_path / "out")
    assert result.returncode == 1 and "codebase_version is v2.1; expected v3.0" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ("state", {"state": {"dtype": "float32", "shape": [9]}}, "'state' has 8 values a frame; info.json says 9"),
        ("actions", {"action": {"dtype": "float32", "shape": [7]}}, "'action' .*fix the dataset's info.json"),
    ],
)
def test_a_vector_that_is_not_as_info_json_says_is_named(robots, tmp_path, old, new, expected):
    root = shutil.copytree(robots["libero"], tmp_path / "lying")
    info = json.loads((root / "meta/info.json").read_text())
    info["features"].pop(old)
    info["features"] |= new
    (root / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match=f"file-000.parquet: {expected}"):
        inspect(LeRobotData(root), "lying")


def test_an_unreadable_video_is_named_and_what_was_written_before_stays(copied_dataset, tmp_path):
    assert script(copied_dataset, "--out", tmp_path / "out").returncode == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    (video,) = copied_dataset.glob("videos/**/*.mp4")
    video.write_bytes(b"no video")
    result = script(copied_dataset, "--out", tmp_path / "out")
    assert result.returncode == 1 and result.stderr.startswith("error: ") and len(result.stderr.splitlines()) == 1
    assert video.name in result.stderr and "Traceback" not in result.stderr
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
