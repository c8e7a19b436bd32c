"""A served policy is the policy; whoever talks nonsense is told so, and nobody else notices."""

import base64
import contextlib
import json
import os
import queue
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
import warm
from hostile_messages import HOSTILE
from metaworld_config import simulator
from pisft.evaluate.policy import load_policy
from pisft.evaluate.rollout import rollout
from pisft.evaluate.run import evaluate
from pisft.serving.batching import Batcher
from pisft.serving.client import RemoteError, RemotePolicy
from pisft.serving.contract import Contract
from pisft.serving.fairness import BURST_S, FRAMES_PER_S, SLICE
from pisft.serving.identity import identity, served
from pisft.serving.server import LATE_S, REFUSALS
from pisft.serving.wire import pack, unpack
from tiny_policy import make_policy
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import connect
from websockets.sync.server import serve as listen

ROOT = Path(__file__).parents[2]
TOKEN = "open sesame"
MASK = b"\x80\0\0\0\0"
FLOODS = {"texts": (b"\x81", b"refused"), "garbage": (b"\x82", b"refused"), "pings": (b"\x89", b"\x8a\0")}
SCRIPT = [sys.executable, str(ROOT / "tools/serve.py")]


@pytest.fixture(scope="module")
def run(video_dataset, tmp_path_factory):
    """(config, folder) of a policy that can be served."""
    folder = tmp_path_factory.mktemp("served")
    return make_policy(folder, video_dataset), folder


def _policy(run):
    run_dir = run[1] / "results/tiny"
    return load_policy(run[0], run_dir / "checkpoint", torch.device("cpu"))


@contextlib.contextmanager
def _serving(run, *arguments, token=None):
    """(process, its ws:// address)."""
    variables = {k: v for k, v in os.environ.items() if k != "PISFT_POLICY_TOKEN"}
    if token:
        variables["PISFT_POLICY_TOKEN"] = token
    command = [*SCRIPT, str(run[1] / "results/tiny/checkpoint"), "--port", "0", *arguments]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        try:
            assert line.startswith("serving tiny on ws://127.0.0.1:"), process.stderr.read()
            yield process, line.split()[-1]
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def server(run):
    with _serving(run, "--max-message-mb", "8") as (_, uri):
        yield uri


@pytest.fixture
def seen(run):
    """An observation as a robot sends it."""
    rng = np.random.default_rng(0)
    return {
        "observation.image": rng.integers(0, 256, (32, 32, 3), np.uint8),
        "observation.state": rng.normal(size=4).astype(np.float32),
        "task": "close the drawer",
    }


def test_a_rollout_over_the_server_is_the_rollout_without_it(run, server):
    policy = _policy(run)
    loop = {"replan_steps": 3, "batch_size": 2, "seed": 0, "workers": 1}
    episodes = [("drawer-close", 10), ("button-press-topdown", 11), ("drawer-close", 12)]
    here, _ = rollout(simulator(max_steps=12), episodes, policy, **loop)
    with served(server, run[1] / "results/tiny") as remote:
        there, _ = rollout(simulator(max_steps=12), episodes, remote, **loop)
        again = evaluate(*_of(run), actor=remote)[0]
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.actions, other.actions)
    assert again == evaluate(*_of(run))[0]


def _of(run):
    return run[0], run[1] / "results/tiny", run[1] / "data", torch.device("cpu"), 1


def test_the_metadata_tells_cameras_dims_and_horizon(server):
    with RemotePolicy(server) as policy:
        about = policy.metadata
    assert about["cameras"] == {"observation.image": {"slot": "base_0_rgb", "dtype": "uint8"}}
    assert about["action_horizon"] == 4 and len(about["checkpoint_sha256"]) == 64
    assert about["experiment"] == "tiny" and about["noise_shape"][0] == 4


def test_openpis_spelling_of_keys_is_understood_and_noise_makes_an_answer_exact(server, seen):
    with RemotePolicy(server) as policy:
        noise = np.random.default_rng(1).normal(size=policy.noise_shape).astype(np.float32)
    spelt = {
        "observation/image": seen["observation.image"],
        "observation/state": seen["observation.state"],
        "prompt": seen["task"],
    }
    with RemotePolicy(server) as policy:
        one, other = policy.request(seen | {"noise": noise}), policy.request(spelt | {"noise": noise})
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.float32 and one.shape == (4, 4)
        assert not np.array_equal(policy.request(seen), policy.request(seen))  # it draws anew
    with RemotePolicy(server) as first, RemotePolicy(server) as second:
        np.testing.assert_array_equal(first.request(seen), second.request(seen))  # but the same for everyone


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"observation.state": np.zeros(5, np.float32)}, "observation.state: found 5 dims; expected 4"),
        ({"observation.state": np.array([0, np.nan, 0, 0])}, "observation.state: holds numbers that are not finite"),
        ({"observation.state": "four"}, "observation.state: found a str; expected float32"),
        ({"observation.image": np.zeros((32, 32), np.uint8)}, r"found uint8 \[32, 32\]; expected uint8 \[height"),
        ({"observation.image": np.zeros((32, 32, 3), np.float32)}, r"found float32 \[32, 32, 3\]; expected uint8"),
        ({"observation.image": np.zeros((0, 32, 3), np.uint8)}, "expected sides of 1 to 4096"),
        ({"observation.image": None}, "observation.image: found a NoneType"),
        ({"observation.state": np.array([0, 1e300, 0, 0])}, "observation.state: holds numbers that are not finite"),
        ({"task": 7}, "prompt: found a int; expected text"),
        ({"task": "go " * 2000}, "prompt: found 6000 characters; expected 2048 at most"),
        ({"task": None}, "the frame has no task"),
        ({"noise": [0.0] * 16}, r"noise: found a list; expected float32 \[1, 4"),
        ({"noise": None}, r"noise: found a NoneType; expected float32 \[1, 4"),
        ({"noise": np.full((4, 32), 1e300)}, "noise: holds numbers that are not finite"),
        ({"noise": np.zeros((3, 3), np.float32)}, r"noise: found float32 \[1, 3, 3\]; expected float32 \[1, 4"),
    ],
)
def test_what_does_not_fit_is_refused_by_name_and_the_connection_goes_on(server, seen, change, told):
    with RemotePolicy(server) as policy:
        with pytest.raises(RemoteError, match=told):
            policy.request(seen | change)
        assert policy.request(seen).shape == (4, 4)


def test_a_group_that_is_none_is_refused(server, seen):
    with RemotePolicy(server) as policy:
        noise = np.zeros((2, *policy.noise_shape), np.float32)
        for group, told in (
            ([], "observations: found 0; expected 1 to 16"),
            ([seen] * 17, "observations: found 17; expected 1 to 16: more take a server with a larger --max-group"),
            (seen, "observations: found a dict; expected a list"),
            ([seen, {}], "is missing"),
        ):
            with pytest.raises(RemoteError, match=told):
                policy.request({"observations": group, "noise": noise})
        with pytest.raises(RemoteError, match="noise: found float32"):
            policy.request({"observations": [seen], "noise": noise})
        assert policy.infer([seen, seen], noise).shape == (2, 4, 4)


def test_a_group_may_be_as_large_as_the_experiments_own(run, seen):
    assert run[0].eval.closed_loop.batch_size == 3
    with _serving(run, "--max-batch", "2") as (_, uri), RemotePolicy(uri) as policy:
        noise = np.zeros((4, *policy.noise_shape), np.float32)
        assert policy.infer([seen] * 3, noise[:3]).shape == (3, 4, 4)
        with pytest.raises(RemoteError, match="expected 1 to 3"):
            policy.infer([seen] * 4, noise)


@pytest.mark.parametrize("message", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_message_is_refused_and_others_are_served(server, seen, message):
    with RemotePolicy(server) as other, connect(server, compression=None) as hostile:
        hostile.recv()
        hostile.send(message)
        answer = hostile.recv(20)
        assert isinstance(answer, str) and answer.startswith("refused: ")
        hostile.send("text")
        assert "expected msgpack" in hostile.recv(20)
        assert other.request(seen).shape == (4, 4)


def test_a_message_that_is_too_large_ends_its_connection_alone(server, seen):
    with RemotePolicy(server) as other, connect(server, compression=None) as hostile:
        hostile.recv()
        hostile.send(b"x" * (2**23 + 1))
        with pytest.raises(ConnectionClosed) as caught:
            hostile.recv(20)
        assert caught.value.rcvd.code == 1009
        assert other.request(seen).shape == (4, 4)


def test_clients_that_say_nothing_half_of_something_or_vanish_hold_up_nobody(server, seen):
    host, port = re.fullmatch(r"ws://(.*):(\d+)", server).groups()
    silent, half, gone = (socket.create_connection((host, int(port))) for _ in range(3))
    half.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.close()  # a reset
    leaving = connect(server, compression=None)
    leaving.recv()
    leaving.send(pack(seen))
    leaving.socket.close()  # while it is being served
    with RemotePolicy(server) as policy:
        assert policy.request(seen).shape == (4, 4)
    silent.close()
    half.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_small_frames_is_held_back_and_others_are_served(server, seen, kind):
    frame, answer = FLOODS[kind]
    host, port = server.removeprefix("ws://").split(":")
    flooder = socket.create_connection((host, int(port)))
    key = base64.b64encode(b"0" * 16).decode()
    upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13"
    flooder.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n{upgrade}\r\n\r\n".encode())
    answers, ended = [0], threading.Event()

    def send():
        with contextlib.suppress(OSError):
            while not ended.is_set():
                flooder.sendall((frame + MASK) * 2000)

    def read():
        with contextlib.suppress(OSError):
            while content := flooder.recv(2**16):
                answers[0] += content.count(answer)

    zeros = {"noise": np.zeros((4, 32), np.float32)}
    with RemotePolicy(server) as policy:
        expected = policy.request(seen | zeros)
        started = time.monotonic()
        for task in (send, read):
            threading.Thread(target=task, daemon=True).start()
        while time.monotonic() - started < 2:
            np.testing.assert_array_equal(policy.request(seen | zeros), expected)
        lasted = time.monotonic() - started
        found = answers[0]
        ended.set()
        flooder.close()
    most = FRAMES_PER_S * (lasted + BURST_S) + SLICE / 6 if kind == "pings" else REFUSALS + lasted / LATE_S + 1
    assert 0 < found <= most


def test_who_connects_all_the_time_is_turned_away_and_who_is_connected_is_not(server, seen):
    host, port = server.removeprefix("ws://").split(":")
    with RemotePolicy(server) as policy:
        silent = [socket.create_connection((host, int(port))) for _ in range(300)]
        assert policy.request(seen).shape == (4, 4)
        ends = []
        for one in silent:
            one.settimeout(0.01)
            with contextlib.suppress(TimeoutError):
                try:
                    ends.append(one.recv(1) == b"")
                except ConnectionResetError:
                    ends.append(True)
        assert len(ends) >= 100, "turned away"
        for one in silent:
            one.close()
        assert policy.request(seen).shape == (4, 4)
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(RemoteError, WebSocketException):
            with RemotePolicy(server) as policy:
                assert policy.request(seen).shape == (4, 4)
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_web_pages_cannot_connect(server):
    with pytest.raises(InvalidStatus, match="403"):
        connect(server, origin="http://example.com")


def test_the_health_endpoint_answers(server):
    with urllib.request.urlopen(server.replace("ws", "http", 1) + "/healthz") as answer:
        assert json.load(answer)["status"] == "ok"


def test_a_token_keeps_others_out(run, seen):
    with _serving(run, token=TOKEN) as (process, uri):
        for wrong in (None, "open", TOKEN + "x", "wrong \u00e9".encode().decode("latin-1")):
            with pytest.raises(RemoteError, match="refused with 401: expected a token"):
                RemotePolicy(uri, wrong)
        with RemotePolicy(uri, TOKEN) as policy:
            assert policy.request(seen).shape == (4, 4)
        with connect(uri, additional_headers={"Authorization": f"Api-Key {TOKEN}"}) as openpi:
            assert unpack(openpi.recv())["experiment"] == "tiny"
        process.terminate()
        out, err = process.communicate()
    assert TOKEN not in out + err


def test_sigterm_answers_what_is_under_way_and_takes_nothing_new(run, seen):
    with _serving(run, "--max-group", "100") as (process, uri):
        idle, busy = RemotePolicy(uri), RemotePolicy(uri)
        answers: queue.Queue = queue.Queue()
        noise = np.zeros((100, *busy.noise_shape), np.float32)
        thread = threading.Thread(target=lambda: answers.put(busy.infer([seen] * 100, noise)))
        thread.start()
        time.sleep(0.1)  # it is being answered
        process.send_signal(signal.SIGTERM)
        assert answers.get(timeout=20).shape == (100, 4, 4)
        thread.join()
        assert process.wait(20) == 0
        with pytest.raises(RemoteError, match="gave no answer"):
            idle.request(seen)
        with pytest.raises(RemoteError, match=r"no policy server answers .* start one: tools/serve\.py"):
            RemotePolicy(uri)


def test_an_answer_that_comes_late_is_never_taken_for_the_next_ones(seen):
    def slow(connection):
        connection.send(pack({"noise_shape": [4, 4], "action_type": "delta"}))
        for number, _ in enumerate(connection):
            time.sleep(0.5)
            connection.send(pack({"actions": np.full((4, 4), number, np.float32)}))

    with listen(slow, "127.0.0.1", 0) as slow_server:
        threading.Thread(target=slow_server.serve_forever, daemon=True).start()
        uri = f"ws://127.0.0.1:{slow_server.socket.getsockname()[1]}"
        policy = RemotePolicy(uri, timeout_s=0.2)
        for _ in range(2):
            with pytest.raises(RemoteError, match="gave no answer"):
                policy.request(seen)
        slow_server.shutdown()


def test_a_server_of_something_else_is_told_apart():
    with listen(lambda connection: connection.send(pack({})), "127.0.0.1", 0) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with pytest.raises(RemoteError, match="its metadata has no noise_shape and action_type; expected"):
            RemotePolicy(f"ws://127.0.0.1:{other.socket.getsockname()[1]}")
        other.shutdown()


def test_one_client_too_many_is_told(run):
    full = pytest.raises(RemoteError, match="refused with 503: 1 clients are connected already")
    with _serving(run, "--max-clients", "1") as (_, uri), RemotePolicy(uri), full:
        RemotePolicy(uri)


def test_a_server_that_cannot_start_says_why(run, server, tmp_path):
    checkpoint = str(run[1] / "results/tiny/checkpoint")

    def fails(*arguments):
        done = warm.run([*SCRIPT[1:], *arguments])
        assert done.returncode == 1 and "Traceback" not in done.stderr
        return done.stderr

    assert "cannot be listened on" in fails(checkpoint, "--port", server.rpartition(":")[2])
    assert "can be reached from the network; set PISFT_POLICY_TOKEN" in fails(checkpoint, "--host", "0.0.0.0")
    assert "--max-group: found 0; expected 1 or more" in fails(checkpoint, "--max-group", "0")
    assert "is not a trained checkpoint; expected results/<exp>/checkpoint" in fails(str(tmp_path / "checkpoint"))


def test_another_policy_is_not_evaluated_by_mistake(run, server, tmp_path, monkeypatch):
    def differs(change=lambda run_dir: None):
        """The names of what the refusal says is not the same."""
        run_dir = tmp_path / "run"
        shutil.copytree(run[1] / "results/tiny", run_dir)
        change(run_dir)
        with pytest.raises(RemoteError, match="serves another policy than that of") as caught:
            served(server, run_dir)
        shutil.rmtree(run_dir)
        return re.findall(r"(\w+)_sha256 is \w+, here", str(caught.value))

    def edit(name, *keys, value):
        def change(run_dir):
            content = inner = json.loads((run_dir / name).read_text())
            for key in keys[:-1]:
                inner = inner[key]
            inner[keys[-1]] = value
            (run_dir / name).write_text(json.dumps(content))

        return change

    assert differs(edit("checkpoint.json", "files", "model.safetensors", "sha256", value="other")) == ["checkpoint"]
    assert differs(edit("checkpoint.json", "files", "norm_stats.json", "sha256", value="0" * 64)) == ["norm_stats"]
    assert differs(edit("config.json", "model", "max_token_len", value=40)) == ["model"]
    assert differs(edit("config.json", "format", "prompt", "default", value="go")) == ["format"]
    monkeypatch.setattr("pisft.serving.identity.code_hashes", lambda script: {"scripts/other.py": "other"})
    assert differs() == ["code"]
    monkeypatch.setattr("pisft.serving.identity.package_versions", lambda script: {"torch": "0"})
    assert differs() == ["code", "packages"]


def test_what_weights_were_trained_from_does_not_decide_what_they_do(run, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(run[1] / "results/tiny", run_dir)
    content = json.loads((run_dir / "config.json").read_text())
    content["model"]["base"] = {"path": "elsewhere/model.safetensors"}
    (run_dir / "config.json").write_text(json.dumps(content))
    assert identity(run_dir) == identity(run[1] / "results/tiny")


class _Counting:
    """A policy that takes its time and counts."""

    def __init__(self, policy):
        self.preprocessor, self.noise_shape, self._sample = policy.preprocessor, policy.noise_shape, policy.sample
        self.started, self.go, self.sizes = threading.Event(), threading.Event(), []

    def sample(self, items, noise):
        self.started.set()
        assert self.go.wait(20)
        self.sizes.append(len(items))
        if len(items) == 3:
            raise RuntimeError("out of memory")
        return self._sample(items, noise)


def test_single_requests_that_wait_share_an_inference_and_groups_do_not(run, seen):
    policy = _Counting(_policy(run))
    item = Contract(policy, {}).item(seen)
    noise = np.random.default_rng(0).normal(size=(8, *policy.noise_shape)).astype(np.float32)
    batcher = Batcher(policy, max_batch=4, max_wait_s=0.0)
    waiting = [batcher.submit([item], noise[:1], group=False)]
    assert policy.started.wait(20)
    waiting += [batcher.submit([item], noise[i : i + 1], group=False) for i in (1, 2)]
    waiting += [batcher.submit([item] * 2, noise[3:5], group=True)]
    waiting += [batcher.submit([item], noise[i : i + 1], group=False) for i in (5, 6, 7)]
    policy.go.set()
    found = [request.exception(20) or request.result().shape for request in waiting]
    batcher.close()
    assert policy.sizes == [1, 2, 2, 3]
    assert found[:4] == [(1, 4, 4), (1, 4, 4), (1, 4, 4), (2, 4, 4)]
    assert all(isinstance(error, RuntimeError) for error in found[4:])  # who shared the failure hears of it
