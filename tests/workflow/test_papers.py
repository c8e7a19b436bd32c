"""A paper as a stranger reproduces it: `dvc repro` in a clone, and what is promised after push, pull and checkout."""

import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from typed_project import ROOT, Project, copy_repository

pytestmark = pytest.mark.slow

WHO = {f"GIT_{role}_{what}": "someone@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
PAPER = """
title: two tiny experiments
experiments: {quickstart~smoke: all parameters, quickstart_lora~smoke: adapters}
"""
FULL, LORA = "results/quickstart~smoke", "results/quickstart_lora~smoke"
TABLE = "results/papers/quickstart/table.csv"
UNRUN = "realworld_franka"  # a paper that is there, and that nobody has run


class Clone(Project):
    """A git clone of the project, and what one types there."""

    def run(self, *command, check=True, **env):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return super().run(*command, check=check, **({"PATH": path} | WHO | env))

    def git(self, *arguments):
        return self.run("git", *arguments).stdout

    def dvc(self, *arguments, check=True, **env):
        return self.run("dvc", *arguments, check=check, **env)

    def commit(self, message):
        self.git("add", "-A")
        self.git("commit", "-qm", message)

    def clone(self, folder):
        self.git("clone", "-q", str(self.root), str(folder))
        return Clone(folder)

    def outs(self):
        lock = yaml.safe_load((self.root / "dvc.lock").read_text())
        return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The project with a paper of two tiny experiments, committed and not yet reproduced, beside one that never is."""
    project = Clone(copy_repository(tmp_path_factory.mktemp("paper") / "written").root)
    for paper in (project.root / "config/papers").glob("*.yaml"):
        if paper.stem != UNRUN:
            paper.unlink()
    shutil.rmtree(project.root / "papers")
    (project.root / "config/papers/quickstart.yaml").write_text(PAPER)
    project.python("tools/pipelines.py")
    project.commit("as written")
    return project


@pytest.fixture(scope="module")
def verified(written, tmp_path_factory):
    """(folder with two of its clones, `one` and `other`, after `dvc repro` in each; what was said)"""
    folder = tmp_path_factory.mktemp("verified")
    return folder, written.python("tools/verify_paper.py", "--keep", folder).stdout


@pytest.fixture(scope="module")
def reproduced(verified):
    """One of them, pushed to a folder and committed."""
    folder, _ = verified
    project = Clone(folder / "one")
    project.python("tools/remote.py", str(folder / "remote"))
    project.dvc("push")
    project.commit("reproduced")
    return project


@pytest.fixture(scope="module")
def pulled(reproduced, tmp_path_factory):
    """A fresh clone of that with everything from the remote; not to be changed."""
    clone = reproduced.clone(tmp_path_factory.mktemp("pulled") / "clone")
    assert (clone.root / f"papers/{UNRUN}/dvc.yaml").is_file()
    clone.dvc("pull", "dvc.yaml")
    return clone


@pytest.fixture
def clone(pulled, tmp_path):
    """A copy of it that a test may change."""
    return Clone(shutil.copytree(pulled.root, tmp_path / "clone", symlinks=True))


def test_it_ends_with_the_table_and_a_second_time_nothing_changed(verified, reproduced):
    table = verified[1].split("Running stage 'table'")[2].splitlines()
    assert any(line.startswith("quickstart~smoke ") and "/2" in line for line in table)
    assert any(line.startswith("quickstart_lora~smoke ") for line in table)
    again = reproduced.dvc("repro").stdout
    assert "Data and pipelines are up to date" in again and "Running stage" not in again
    with (reproduced.root / TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    evaluation = json.loads((reproduced.root / FULL / "eval.json").read_text())
    overall = evaluation["closed_loop"]["overall"]
    assert rows[0]["successes"] == str(overall["successes"]) and rows[0]["episodes"] == str(overall["episodes"])
    assert float(rows[0]["ours_high"]) == pytest.approx(overall["wilson95"][1], rel=1e-5)


def test_two_fresh_clones_make_the_same_bits(verified):
    _, said = verified
    assert int(re.search(r"(\d+) are the same in both clones", said)[1]) > 25
    assert "differs" not in said and said.count("metrics.csv: same") == 2


def test_manifests_say_what_they_were_made_from(reproduced):
    for path, stage in ((f"{FULL}/eval.json", "evaluate"), (f"{FULL}/checkpoint.json", "train")):
        told = json.loads((reproduced.root / path).read_text())["provenance"]
        record = json.loads((reproduced.root / f"{FULL}/provenance/{stage}.json").read_text())
        assert told["key"] == record["key"] and told["uv_lock"] == record["uv_lock"]
        assert {len(told[part]) for part in ("config", "code", "data", "packages", "uv_lock")} == {64}
    everything = [path for path in reproduced.root.glob("results/*~smoke/**/*.json") if "machine" not in path.parts]
    assert not [out for out in reproduced.outs() if re.search("machine|timing", out)], "would be another elsewhere"
    here = re.compile("|".join(map(re.escape, (str(reproduced.root), socket.gethostname()))))
    assert everything and not [path for path in everything if here.search(path.read_text())]


def test_after_a_pull_nothing_is_planned_and_an_edit_is_seen(clone):
    assert clone.plan(TABLE) == set() and clone.plan(f"{FULL}/report.html") == set()
    assert clone.python("tools/verify.py").returncode == 0
    assert clone.python("tools/why.py", f"{LORA}/eval.json").stdout.count(": fresh") >= 7
    clone.edit("config/experiments/quickstart.yaml", "peak_lr: 1.0e-3", "peak_lr: 5.0e-4")
    assert clone.plan(f"{FULL}/eval.json") == {"resolve", "make_frames", "train", "evaluate"}


@pytest.mark.long
def test_an_older_revision_comes_back_and_is_fresh(clone):
    before = clone.outs()
    clone.edit("config/experiments/quickstart_lora.yaml", "steps: 1000, decay", "peak_lr: 5.0e-4, steps: 1000, decay")
    done = clone.dvc("repro")
    assert (done.stdout + done.stderr).count("(Rule: train)") == 1, "the other experiment is as it was"
    clone.commit("a smaller rate")
    assert clone.plan(TABLE) == set()
    clone.git("checkout", "-q", "HEAD~1")
    clone.dvc("checkout", "dvc.yaml")
    assert clone.outs() == before and clone.plan(TABLE) == set()
    clone.git("checkout", "-q", "-")
    clone.dvc("checkout", "dvc.yaml")
    assert clone.plan(TABLE) == set()


@pytest.mark.parametrize(
    ("file", "damage", "planned"),
    [
        ("checkpoint/model.safetensors", lambda data: data[:-1], {"make_frames", "train"}),
        ("eval.json", lambda data: data.replace(b'"success": 0.0', b'"success": 1.0', 1), {"evaluate"}),
        pytest.param("eval.json", lambda data: data[: len(data) // 2], {"evaluate"}, marks=pytest.mark.long),
    ],
    ids=["a truncated checkpoint", "an edited eval.json", "a truncated eval.json"],
)
def test_a_damaged_result_is_found(clone, file, damage, planned):
    path = clone.root / FULL / file
    content = path.read_bytes()
    path.unlink()  # it may be a link into DVC's cache
    path.write_bytes(damage(content))
    assert path.read_bytes() != content
    assert clone.plan(f"{FULL}/eval.json") == planned
    found = clone.python("tools/verify.py", FULL, check=False)
    assert found.returncode == 1 and f"{FULL}/{file}: changed" in found.stdout
    assert file.split("/")[0] in clone.dvc("status", "dvc.yaml").stdout


def test_exporting_changes_nothing_that_dvc_keeps(clone):
    shutil.copyfile(
        clone.root / f"{FULL}/provenance/evaluate.json", clone.root / f"{FULL}/provenance/export_openpi.json"
    )
    assert "Data and pipelines are up to date" in clone.dvc("status", "dvc.yaml").stdout


def test_weights_that_were_edited_in_place_are_found_by_their_hash(clone):
    path = clone.root / FULL / "checkpoint/model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)
    assert clone.python("tools/verify.py", FULL, check=False).returncode == 1


@pytest.mark.long
def test_dvc_tells_revisions_apart_and_runs_experiments(clone):
    said = clone.dvc("exp", "run", "-S", "config/experiments/quickstart.yaml:train.peak_lr=0.0005").stdout
    assert "Ran experiment(s)" in said
    assert json.loads((clone.root / FULL / "config.json").read_text())["train"]["peak_lr"] == 0.0005
    params = json.loads(clone.dvc("params", "diff", "--json").stdout)
    rate = params["config/experiments/quickstart.yaml"]["train.peak_lr"]
    assert (rate["old"], rate["new"]) == (0.001, 0.0005)
    metrics = json.loads(clone.dvc("metrics", "diff", "--json").stdout)
    loss = metrics[f"{FULL}/eval.json"]["open_loop.flow_loss"]
    assert loss["old"] != loss["new"] and loss["diff"] == pytest.approx(loss["new"] - loss["old"])
    assert (clone.root / "dvc_plots/index.html").is_file() or clone.dvc("plots", "diff").returncode == 0
    page = (clone.root / "dvc_plots/index.html").read_text()
    assert "metrics.csv" in page


@pytest.mark.long
def test_two_revisions_are_compared_by_what_dvc_has_of_them(clone):
    clone.edit("config/experiments/quickstart.yaml", "peak_lr: 1.0e-3", "peak_lr: 5.0e-4")
    with (clone.root / "workflow/pisft/train/step/optim.py").open("a") as file:
        file.write("\nRENAMED = True\n")
    clone.dvc("repro", "experiments")
    clone.commit("half the rate")
    page = clone.root / "diff.html"
    told = clone.python(
        "scripts/diff.py", "main~1:quickstart~smoke", "main:quickstart~smoke", "--html", page, check=False
    )
    assert told.returncode == 1, told.stderr
    assert "train.peak_lr: 0.001 → 0.0005" in told.stdout and "weights: relative change" in told.stdout
    assert "pisft/train/step/optim.py" in told.stdout and "half the rate" in told.stdout, "the code, and the commit"
    assert clone.python("scripts/diff.py", "main:quickstart~smoke", "quickstart~smoke").returncode == 0
    unknown = clone.python("scripts/diff.py", "main:nothing", "quickstart~smoke", check=False)
    assert unknown.returncode == 2 and "its dvc.lock has no results/nothing" in unknown.stderr
    unknown = clone.python("scripts/diff.py", "v9:quickstart~smoke", "quickstart~smoke", check=False)
    assert unknown.returncode == 2 and "git knows no revision 'v9'" in unknown.stderr


@pytest.mark.long
def test_any_episode_can_be_filmed_later(clone):
    episodes = json.loads((clone.root / FULL / "eval.json").read_text())["closed_loop"]["episodes"]
    clone.python("tools/film.py", FULL, "--all")
    assert len(list((clone.root / FULL / "films").glob("*.mp4"))) == len(episodes)
    refused = clone.python("tools/film.py", FULL, "--episode", "button-press-topdown:7", check=False)
    assert refused.returncode == 1 and "has no episode of 'button-press-topdown' with seed 7" in refused.stderr


@pytest.mark.long
def test_a_real_s3_server_holds_it_all(clone, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=5)
                break
            except OSError:
                time.sleep(0.1)
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/papers", method="PUT")).close()
        clone.python("tools/remote.py", "s3://papers/pi-sft", "--endpoint", endpoint)
        assert "files pushed" in clone.dvc("push", **keys).stdout
        clone.commit("another remote")
        shutil.rmtree(clone.root / ".dvc/cache")
        fresh = clone.clone(tmp_path / "fresh")
        assert "files" in fresh.dvc("pull", "dvc.yaml", **keys).stdout
        assert fresh.plan(TABLE) == set()
        assert fresh.python("tools/verify.py").returncode == 0
    finally:
        server.terminate()
        server.wait()


def test_what_is_not_committed_is_not_rebuilt(clone):
    with (clone.root / "config/experiments/quickstart.yaml").open("a") as file:
        file.write("# a comment, which makes nothing stale\n")
    refused = clone.python("tools/rebuild.py", "quickstart~smoke", check=False)
    assert refused.returncode == 1 and "quickstart.yaml: changed and not committed" in refused.stderr


@pytest.mark.long
def test_an_experiment_is_rebuilt_elsewhere_and_compared(clone):
    same = clone.python("tools/rebuild.py", "quickstart~smoke").stdout
    assert "every file is the same, bit for bit" in same
    assert not (clone.root / FULL / "machine").exists(), "nobody has to know where it was made"


def test_only_what_is_fresh_is_uploaded(clone, tmp_path):
    upload = ("tools/upload.py", FULL, "--license", "apache-2.0", "--to", tmp_path / "uploaded")
    clone.python(*upload)
    assert (tmp_path / "uploaded/model.safetensors").is_file()
    clone.edit("config/experiments/quickstart.yaml", "peak_lr: 1.0e-3", "peak_lr: 5.0e-4")
    refused = clone.python(*upload, check=False)
    assert refused.returncode == 1 and "peak_lr: 0.001 → 0.0005" in refused.stderr


def test_snakemakes_own_report_has_the_paper_and_its_captions(reproduced, tmp_path):
    page = tmp_path / "report.html"
    reproduced.snakemake("--report", str(page), TABLE, f"{FULL}/report.html")
    text = page.read_text()
    for name in ("paper", "experiment", "norm_stats"):
        caption = (ROOT / f"workflow/report/{name}.rst").read_text().split(":")[0].strip()
        assert caption in text
