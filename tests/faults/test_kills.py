"""Whatever is killed, and whenever: the same command then makes the bytes of an undisturbed build."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from typed_project import Project, copy_project

TARGET = "results/quickstart~smoke/report.html"
KINDS = ("the group", "snakemake alone", "one process")
MANY = int(os.environ.get("PISFT_KILLS", "50"))
SEED = int(os.environ.get("PISFT_KILLS_SEED", "0"))


def facts(project: Project) -> dict[str, dict]:
    """Size and sha256 of all that records tell of."""
    records = [*project.root.glob("data/**/provenance.json"), *project.root.glob("results/*/provenance/*.json")]
    return {k: v for path in records for k, v in json.loads(path.read_text())["outputs"].items()}


def build(project: Project) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "-c2", TARGET],
        cwd=project.root,
        env=os.environ | {"PYTHONPATH": str(project.root / "workflow")},
        stdout=subprocess.DEVNULL,
        stderr=(project.root / "log").open("w"),
        start_new_session=True,
    )


def processes_in(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill(kind: str, process: subprocess.Popen, folder: Path, rng: random.Random) -> None:
    if kind == "the group":
        os.killpg(process.pid, signal.SIGKILL)
    elif kind == "snakemake alone":
        process.kill()
    elif found := [each for each in processes_in(folder) if each.pid != process.pid]:
        rng.choice(found).kill()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What a build that nobody disturbs makes, and how long it takes."""
    project = copy_project(tmp_path_factory.mktemp("undisturbed") / "project")
    start = time.monotonic()
    assert build(project).wait() == 0, (project.root / "log").read_text()
    return facts(project), time.monotonic() - start


def disturb(folder: Path, kind: str, after: float, rng: random.Random, expected: dict) -> int:
    """Kill once, then type the command until it ends well; how many times that took."""
    project = copy_project(folder)
    process = build(project)
    time.sleep(after)
    kill(kind, process, folder, rng)
    process.wait()
    for attempt in range(1, 4):  # noqa: B007  the last one is returned
        if build(project).wait() == 0:
            break
    else:
        raise AssertionError(f"{kind} at {after:.1f} s: {(project.root / 'log').read_text()[-3000:]}")
    found = facts(project)
    different = [path for path in expected if found.get(path) != expected[path]]
    assert not different and found.keys() == expected.keys(), f"{kind} at {after:.1f} s: {different}"
    assert project.python("tools/verify.py", check=False).returncode == 0
    assert project.plan(TARGET) == set()
    assert not (left := processes_in(folder)), f"{kind} at {after:.1f} s: {left}"
    assert not [*project.root.rglob("*.lease"), *project.root.rglob(".*.partial")]
    return attempt


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_kill(tmp_path, undisturbed):
    expected, duration = undisturbed
    rng = random.Random(1)
    assert disturb(tmp_path / "once", "snakemake alone", rng.uniform(0.4, 0.9) * duration, rng, expected) == 1


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3 * 3600)
def test_many_kills(tmp_path, undisturbed, capsys):
    expected, duration = undisturbed
    rng = random.Random(SEED)
    tries = {kind: [] for kind in KINDS}
    for number in range(MANY):
        kind = KINDS[number % len(KINDS)]
        tries[kind].append(disturb(tmp_path / str(number), kind, rng.uniform(0, 1) * duration, rng, expected))
        with capsys.disabled():
            print(f"{number + 1} of {MANY}: {kind}: {tries[kind][-1]} tries", flush=True)
