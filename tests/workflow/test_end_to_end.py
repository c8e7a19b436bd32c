"""The whole graph on real parts, made small: a simulator, a dataset, a model, rollouts, a page in a browser."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from browsing import needs_browser, open_browser
from typed_project import Project, copy_project

EXPERIMENT = """
extends: quickstart
datasets: [{name: tiny}]
split: {heldout_fraction: 0.25}
train: {steps: 6, global_batch_size: 4, warmup_steps: 1, decay_steps: 6, log_every: 1, validate_every: 3, save_every: 2}
eval: {closed_loop: {suites: [button_press], episodes_per_task: 3, batch_size: 2}}
published: {source: a paper, episodes: 50, suites: {button_press: 0.9}}
"""
DATASET = """
source: generated
simulator: metaworld
tasks: [button-press-topdown, window-close]
episodes_per_task: 2
"""
REPORT = "results/tiny/report.html"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    project = copy_project(tmp_path_factory.mktemp("tiny") / "project")
    (project.root / "config/experiments/tiny.yaml").write_text(EXPERIMENT)
    (project.root / "config/datasets/tiny.yaml").write_text(DATASET)
    project.edit("config/simulators/metaworld.yaml", "max_steps: 150", "max_steps: 100")
    project.snakemake(REPORT)
    return project


def test_every_artefact_is_there_and_a_second_run_has_nothing_to_do(tiny):
    for name in ("config.json", "norm_stats.json", "checkpoint.json", "eval.json", "report.html", "metrics.csv"):
        assert (tiny.root / "results/tiny" / name).is_file(), name
    assert tiny.plan(REPORT) == set()
    (tiny.root / "new").touch()
    mode = (tiny.root / "new").stat().st_mode
    made = [path for folder in ("data", "results") for path in (tiny.root / folder).rglob("*") if path.is_file()]
    assert not [path for path in made if path.stat().st_mode != mode], "whoever may read other files may read these"


def test_the_page_shows_the_published_rate_beside_ours(tiny):
    page = (tiny.root / REPORT).read_text()
    assert "Compared with published numbers" in page and "a paper, 50 episodes a suite" in page and "90.0 %" in page


def test_the_page_tells_how_the_evaluation_went(tiny, tmp_path):
    assert "<dt>lost processes</dt><dd>none</dd>" in (tiny.root / REPORT).read_text()
    shutil.copytree(tiny.root, tmp_path / "clone", symlinks=True)
    clone = Project(tmp_path / "clone")
    went = {"lost_simulators": ["was killed by signal 9"] * 2, "not_filmed": ["push, seed 3: otherwise"]}
    (clone.root / "results/tiny/eval.timing.json").write_text(json.dumps(went))
    clone.python("scripts/report.py", "results/tiny/config.json")
    page = (clone.root / REPORT).read_text()
    assert "2, and their episodes were repeated: was killed by signal 9 (2×)" in page
    assert "Not filmed: push, seed 3: otherwise" in page


@pytest.mark.long
def test_the_evaluation_is_the_same_bytes_when_run_again_with_other_workers(tiny):
    path = tiny.root / "results/tiny/eval.json"
    before = path.read_bytes()
    videos = {p.name: p.read_bytes() for p in (tiny.root / "results/tiny/videos").iterdir()}
    assert videos
    path.unlink()
    tiny.python("scripts/evaluate.py", "results/tiny/config.json", "--workers", "1")
    assert path.read_bytes() == before
    assert {p.name: p.read_bytes() for p in (tiny.root / "results/tiny/videos").iterdir()} == videos


def test_eval_json_tells_the_protocol_and_intervals_and_nothing_of_the_machine(tiny):
    text = (tiny.root / "results/tiny/eval.json").read_text()
    assert str(tiny.root) not in text
    closed = json.loads(text)["closed_loop"]
    protocol = closed["protocol"]
    assert protocol["seeds"] == {"range": "testing", "first": 20000, "last": 20002}
    assert (
        protocol["max_steps"] == 100 and protocol["replan_steps"] == 5 and protocol["settings"]["render"]["size"] == 96
    )
    assert len(closed["episodes"]) == closed["overall"]["episodes"] == 3
    low, high = closed["overall"]["wilson95"]
    assert 0 <= low <= closed["overall"]["success"] <= high <= 1


@pytest.mark.long  # the papers have it, of every file
def test_a_fresh_clone_trains_to_the_same_bytes(tiny, tmp_path):
    shutil.copytree(tiny.root, tmp_path / "clone", symlinks=True)
    clone = Project(tmp_path / "clone")
    shutil.rmtree(clone.root / "results/tiny")
    clone.snakemake("results/tiny/checkpoint.json")
    for path in ("norm_stats.json", "checkpoint.json", "checkpoint/model.safetensors"):
        assert (clone.root / "results/tiny" / path).read_bytes() == (tiny.root / "results/tiny" / path).read_bytes()


def test_interrupting_snakemake_stops_training_cleanly_and_the_same_command_goes_on(tiny, tmp_path):
    shutil.copytree(tiny.root, tmp_path / "clone", symlinks=True)
    clone = Project(tmp_path / "clone")
    file = clone.root / "config/experiments/tiny.yaml"
    file.write_text(file.read_text().replace("steps: 6,", "steps: 5000,"))  # decay_steps too
    target = "results/tiny/checkpoint.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", target],
        cwd=clone.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    states = clone.root / "results/tiny/train_state"
    deadline = time.monotonic() + 120
    known = {p.name for p in states.iterdir()}
    while not any(p.name not in known and list(p.glob("step_*")) for p in states.iterdir()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "is saved; run the same command again to resume" in output
    file.write_text(file.read_text().replace("steps: 5000,", "steps: 6,"))
    assert clone.plan(target) == {"resolve"}, "the checkpoint that was there still stands"


@needs_browser
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_page_shows_its_images_and_videos_in_a_browser_without_network(tiny, width, height):
    with open_browser() as browser:
        mobile = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", mobile)
        browser.get(f"file://{tiny.root}/{REPORT}")
        ready = "return [...document.querySelectorAll('video')].map(v => [v.readyState, v.videoWidth, v.error])"
        deadline = time.monotonic() + 20
        while any(state < 2 for state, *_ in browser.execute_script(ready)) and time.monotonic() < deadline:
            time.sleep(0.1)
        videos = browser.execute_script(ready)
        assert videos, "at least one rollout is shown"
        assert all(state >= 2 and pixels > 0 and error is None for state, pixels, error in videos)
        images = browser.execute_script(
            "return [...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().height)"
        )
        assert len(images) == 5 and min(images) > 50
        assert "<<<<<<<" not in browser.page_source
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width, "no sideways scrolling"
        assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        requests = [
            json.loads(entry["message"])["message"]["params"]["request"]["url"]
            for entry in browser.get_log("performance")
            if '"Network.requestWillBeSent"' in entry["message"]
        ]
        assert all(url.startswith(("file:", "data:")) for url in requests)


def test_processes_that_torchrun_starts_train_together_and_keep_one_record(tiny, tmp_path):
    shutil.copytree(tiny.root, tmp_path / "clone", symlinks=True)
    clone = Project(tmp_path / "clone")
    with (clone.root / "config/experiments/tiny.yaml").open("a") as file:
        file.write("\ncluster: {gpus: 2}\n")
    shutil.rmtree(clone.root / "results/tiny/train_state")
    (clone.root / "results/tiny/checkpoint.json").unlink()
    config = "results/tiny/config.json"
    clone.python("scripts/resolve.py", "tiny")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    clone.python(*launcher, "scripts/train.py", config, OMP_NUM_THREADS="1")
    assert clone.plan("results/tiny/checkpoint.json") == set()
