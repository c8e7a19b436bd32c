"""A policy that learnt a task is served, and openpi's own client, in its own environment, drives a simulator by it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pisft import environments
from pisft.config.files import load_simulator
from pisft.errors import PisftError
from pisft.serving.wire import pack, unpack
from pisft.simulators.base import open_simulator
from typed_project import copy_project

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TOKEN = "a key"
EXPERIMENT = """
extends: button_press
datasets: [{name: presses}]
train: {steps: 500, decay_steps: 500, validate_every: 250, save_every: 250}
eval: {closed_loop: {suites: [button_press], episodes_per_task: 10}}
"""
DATASET = """
source: generated
simulator: metaworld
tasks: [button-press-topdown]
episodes_per_task: 40
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """With an experiment that learnt to press a button, and was evaluated."""
    project = copy_project(tmp_path_factory.mktemp("served") / "project")
    (project.root / "config/experiments/presses.yaml").write_text(EXPERIMENT)
    (project.root / "config/datasets/presses.yaml").write_text(DATASET)
    project.snakemake("-c1", "results/presses/eval.json")  # other tests have the other core
    return project


@pytest.fixture
def server(project):
    command = [sys.executable, "tools/serve.py", "results/presses/checkpoint", "--port", "0"]
    variables = os.environ | {"PISFT_POLICY_TOKEN": TOKEN, "PYTHONPATH": str(project.root / "workflow")}
    with subprocess.Popen(command, cwd=project.root, env=variables, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().split()[-1]
        process.terminate()
        assert process.wait(20) == 0


class OpenpiClient:
    """openpi-client in a process of its environment; `infer` is its `infer`."""

    def __init__(self, uri):
        command = [environments.python("openpi_client"), ROOT / "envs/openpi_client/drive.py", uri, TOKEN]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environments.clean()
        )

    def infer(self, observation):
        message = pack(observation)
        self.process.stdin.write(len(message).to_bytes(8, "big") + message)
        self.process.stdin.flush()
        return unpack(self.process.stdout.read(int.from_bytes(self.process.stdout.read(8), "big")))

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(20) == 0


def test_openpis_published_client_drives_metaworld_to_success(project, server):
    evaluated = json.loads((project.root / "results/presses/eval.json").read_text())["closed_loop"]
    assert evaluated["overall"]["successes"] >= 5
    try:
        environments.python("openpi_client")
    except PisftError as error:
        pytest.skip(str(error))
    simulator = open_simulator(load_simulator("metaworld", ROOT, "a test", "simulator"))
    client = OpenpiClient(server)
    successes = 0
    for episode in evaluated["episodes"][:6]:
        simulator.reset(episode["task"], episode["seed"])
        while not simulator.done:
            seen = simulator.observation()
            openpis = {
                "observation/image": seen["observation.image"],
                "observation/state": seen["observation.state"],
                "prompt": seen["task"],
            }
            simulator.step(client.infer(openpis)["actions"][:5])
        successes += simulator.success
    client.close()
    assert successes >= 2


def test_the_evaluation_over_the_server_is_the_same_file(project, server):
    path = project.root / "results/presses/eval.json"
    before = path.read_bytes()
    path.unlink()
    command = ["scripts/evaluate.py", "results/presses/config.json", "--workers", "1", "--server", server]
    project.python(*command, PISFT_POLICY_TOKEN=TOKEN)
    assert path.read_bytes() == before


def test_the_robots_loop_presses_the_button_within_its_limits(project, server):
    command = [
        *("tools/robot_client.py", server, "--simulator", "metaworld", "--task", "button-press-topdown"),
        *("--hz", "200", "--max-steps", "150", "--max-step", "1"),
    ]
    done = [
        project.python(*command, "--seed", str(seed), check=False, PISFT_POLICY_TOKEN=TOKEN)
        for seed in range(20000, 20004)
    ]
    assert sum(run.returncode == 0 and run.stdout.startswith("done: ") for run in done) >= 2, done
