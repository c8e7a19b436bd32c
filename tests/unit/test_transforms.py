"""Rotations, ALOHA's joints and padding: against formulas written out here, and there and back again."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pisft.config.base import ConfigError, parse
from pisft.config.format import ROTATION_DIMS, FormatConfig
from pisft.data import DataError, Format
from pisft.data.transforms import aloha
from pisft.data.transforms.rotation import from_rot6d, to_rot6d

angle = st.floats(-3.125, 3.125, width=32)
MANY = settings(max_examples=80, deadline=None)


def make_format(**changes) -> Format:
    content = {"cameras": {}, "state": "state", "actions": "actions", "normalisation": "zscore", "action_horizon": 3}
    return Format(parse(content | changes, FormatConfig, "format.yaml"))


def matrix(rpy: np.ndarray) -> np.ndarray:
    """Rz(yaw) Ry(pitch) Rx(roll)."""
    (a, b, c), cos, sin = rpy, np.cos, np.sin
    x = [[1, 0, 0], [0, cos(a), -sin(a)], [0, sin(a), cos(a)]]
    y = [[cos(b), 0, sin(b)], [0, 1, 0], [-sin(b), 0, cos(b)]]
    z = [[cos(c), -sin(c), 0], [sin(c), cos(c), 0], [0, 0, 1]]
    return np.array(z) @ y @ x


def quaternion(rpy: np.ndarray) -> np.ndarray:
    """(x, y, z, w) by multiplying three half-angle turns."""

    def times(p, q):
        (a, b, c, d), (e, f, g, h) = p, q
        v, w = np.array([a, b, c]), np.array([e, f, g])
        return np.append(d * w + h * v + np.cross(v, w), d * h - v @ w)

    turns = [np.append(np.eye(3)[i] * np.sin(rpy[i] / 2), np.cos(rpy[i] / 2)) for i in range(3)]
    return times(turns[2], times(turns[1], turns[0]))


@MANY
@given(rpy=hnp.arrays(np.float32, 3, elements=angle))
def test_every_kind_of_rotation_is_the_first_two_columns_of_its_matrix(rpy):
    expected = matrix(rpy.astype(float))[:, :2].T.ravel()
    np.testing.assert_allclose(to_rot6d(rpy, "rpy"), expected, atol=2e-6)
    xyzw = quaternion(rpy.astype(float))
    np.testing.assert_allclose(to_rot6d(xyzw, "quaternion_xyzw"), expected, atol=2e-6)
    np.testing.assert_allclose(to_rot6d(np.roll(xyzw, 1), "quaternion_wxyz"), expected, atol=2e-6)
    sine = np.linalg.norm(xyzw[:3])
    turn = 2 * np.arctan2(sine, xyzw[3])
    vector = xyzw[:3] / sine * turn if sine > 1e-9 else 2 * xyzw[:3]
    np.testing.assert_allclose(to_rot6d(vector, "axis_angle"), expected, atol=2e-6)


@MANY
@given(kind=st.sampled_from(sorted(ROTATION_DIMS)), rpy=hnp.arrays(np.float32, (4, 3), elements=angle))
def test_rotations_come_back(kind, rpy):
    six = to_rot6d(rpy, "rpy")
    back = from_rot6d(six, kind)
    assert back.shape == (4, ROTATION_DIMS[kind]) and back.dtype == np.float32
    np.testing.assert_allclose(to_rot6d(back, kind), six, atol=2e-5)


def test_canonical_rotations_come_back_as_the_same_numbers():
    rpy = np.array([[0.1, -1.2, 3.0], [-3.0, 0.4, 0.0]], np.float32)
    np.testing.assert_allclose(from_rot6d(to_rot6d(rpy, "rpy"), "rpy"), rpy, atol=1e-5)
    vector = np.array([[0.3, -2.0, 1.0], [0, 0, 0]], np.float32)
    np.testing.assert_allclose(from_rot6d(to_rot6d(vector, "axis_angle"), "axis_angle"), vector, atol=1e-5)
    xyzw = np.array([[0.1, -0.7, 0.1, 0.7]], np.float32)
    xyzw /= np.linalg.norm(xyzw)
    np.testing.assert_allclose(from_rot6d(to_rot6d(-xyzw, "quaternion_xyzw"), "quaternion_xyzw"), xyzw, atol=1e-5)


@MANY
@given(six=hnp.arrays(np.float32, 6, elements=st.floats(-3, 3, width=32)))
def test_whatever_a_network_says_becomes_a_rotation(six):
    vector = from_rot6d(six, "axis_angle")
    assert np.isfinite(vector).all() and np.linalg.norm(vector) <= np.pi + 1e-5
    first, second = six[:3].astype(float), six[3:].astype(float)
    assume(np.linalg.norm(np.cross(first, second)) > 0.1)
    found = to_rot6d(vector, "axis_angle").astype(float)
    np.testing.assert_allclose(found[:3], first / np.linalg.norm(first), atol=1e-4)
    second -= (second @ found[:3]) * found[:3]
    np.testing.assert_allclose(found[3:], second / np.linalg.norm(second), atol=1e-3)


opening = st.floats(0, 1, width=32)


@MANY
@given(joints=hnp.arrays(np.float32, 12, elements=angle), left=opening, right=opening)
def test_alohas_vectors_are_openpis_formulas_joint_by_joint(joints, left, right):
    robot = np.concatenate([joints[:6], [left], joints[6:], [right]]).astype(np.float32)
    state, actions = aloha.encode_state(robot), aloha.encode_actions(robot)
    for i, value in enumerate(robot.astype(float)):
        if i in (6, 13):
            x = value * (0.05800 - 0.01844) + 0.01844
            turned = np.arcsin(np.clip((0.022**2 + x**2 - 0.036**2) / (2 * 0.022 * x), -1, 1))
            assert state[i] == pytest.approx((turned - 0.5476) / (1.6296 - 0.5476), abs=1e-3)
            assert actions[i] == pytest.approx(value * (1.4910 + 0.6213) - 0.6213 - 0.5476, abs=1e-5)
        else:
            sign = -1 if i % 7 in (1, 2) else 1
            assert state[i] == actions[i] == sign * robot[i]
    np.testing.assert_allclose(aloha.decode_actions(actions), robot, atol=1e-6)


ALOHA = {"adapt_to_pi": True, "delta_mask": [6, -1, 6, -1]}
POSE = {
    "state": ["position", {"key": "quaternion", "rotation": "quaternion_xyzw"}, "gripper"],
    "actions": [
        {"key": "actions", "dims": [0, 3]},
        {"key": "actions", "dims": [3, 6], "rotation": "rpy"},
        {"key": "actions", "dims": [6, 7]},
    ],
    "delta_mask": [9, -1],
}


@MANY
@given(
    state=hnp.arrays(np.float32, 14, elements=opening),
    actions=hnp.arrays(np.float32, (3, 14), elements=st.floats(-1, 1, width=32)),
)
def test_alohas_actions_come_back_through_the_whole_format(state, actions):
    fmt = make_format(**ALOHA)
    encoded = fmt.encode({"state": state, "actions": actions, "task": "do it"})
    np.testing.assert_allclose(fmt.decode(encoded["actions"], encoded["state"]), actions, atol=1e-5)
    joint = -(actions[:, 1] - state[1])  # this one turns the other way
    np.testing.assert_allclose(encoded["actions"][:, 1], joint, atol=1e-5)


@MANY
@given(
    rpy=hnp.arrays(np.float32, 3, elements=angle),
    actions=hnp.arrays(np.float32, (3, 7), elements=st.floats(-1.5, 1.5, width=32)),
    padded=st.booleans(),
)
def test_a_pose_comes_back_through_rotation_delta_and_padding(rpy, actions, padded):
    features = {"position": 3, "quaternion": 4, "gripper": 1, "actions": 7}
    declared = {key: {"shape": [dims]} for key, dims in features.items()}
    fmt = make_format(**POSE, features=declared, pad_to=32 if padded else None)
    sample = {
        "position": np.array([1, 2, 3], np.float32),
        "quaternion": quaternion(rpy.astype(float)).astype(np.float32),
        "gripper": np.array([0.5], np.float32),
        "actions": actions,
        "task": "do it",
    }
    encoded = fmt.encode(sample)
    width = 32 if padded else 10
    assert encoded["state"].shape == (width,) and encoded["actions"].shape == (3, width)
    assert not encoded["state"][10:].any() and not encoded["actions"][:, 10:].any()
    first = matrix(rpy.astype(float))[:, :2].T.ravel()
    turned = matrix(actions[0, 3:6].astype(float))[:, :2].T.ravel()
    np.testing.assert_allclose(encoded["actions"][0, 3:9], turned - first, atol=1e-5)
    np.testing.assert_allclose(fmt.decode(encoded["actions"], encoded["state"]), actions, atol=2e-3)
    assert fmt.real_dims(width) == 10
    names = fmt.action_names({})
    assert names[2:5] == ["actions[2]", "actions.rot6d_0", "actions.rot6d_1"] and len(names) == width


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action_type": "delta", "delta_mask": [6, -1]}, "relative already; take delta_mask out"),
        ({"actions": {"key": "actions", "dims": [0, 4], "rotation": "rpy"}}, "rpy has 3 dims"),
        ({"pad_to": 32}, "pad_to needs to know which dims are real"),
        ({"features": {"state": {"shape": [4]}}}, "features: has no 'actions'"),
        (
            {"features": {"state": {"shape": [40]}, "actions": {"shape": [4]}}, "pad_to": 32},
            "has 40 dims; pad_to is 32",
        ),
        ({"features": {"state": {"shape": [7]}, "actions": {"shape": [14]}}, "adapt_to_pi": True}, "which has 14"),
        ({"features": {"state": {"shape": [2], "names": ["x"]}, "actions": {"shape": [4]}}}, "1 names for 2 dims"),
        ({"delta_mask": [3, 0, -1]}, "a count of 0"),
    ],
)
def test_a_format_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        make_format(**changes)


def test_a_dataset_of_another_width_than_the_format_says_is_refused():
    fmt = make_format(features={"state": {"shape": [4]}, "actions": {"shape": [7]}})
    with pytest.raises(DataError, match=r"'state' has 5 dims; the format's features say 4"):
        fmt.encode({"state": np.zeros(5), "actions": np.zeros((3, 7)), "task": "do it"})


def test_a_rotation_of_the_wrong_width_says_what_to_do():
    fmt = make_format(state={"key": "state", "rotation": "axis_angle"})
    with pytest.raises(DataError, match=r"'state' has 7 dims; axis_angle has 3: choose them with dims"):
        fmt.state({"state": np.zeros((5, 7))})


def test_a_quaternion_of_length_zero_is_an_error_in_words():
    with pytest.raises(DataError, match="quaternion of length 0"):
        to_rot6d(np.zeros((2, 4), np.float32), "quaternion_wxyz")
