"""What artefacts are made from that no stage makes: folders that DVC does not carry to another clone."""

import contextlib
import shutil
import sys

import pytest
from pisft.provenance.build import Build, building
from pisft.provenance.freshness import SMALL, state
from pisft.provenance.key import expected, unseen
from pisft.provenance.rebuild import take
from pisft.stages import Node, ProvenanceError
from pisft.stages import base as stages
from typed_project import ROOT, STAND_INS

CHECKPOINT = Node("train", "mine")
BASE, DATASET = Node("convert", "converted"), Node("make_dataset", "mine")
FILES = {
    "jax/params/_METADATA": "{}",
    "episodes/meta/info.json": "{}",
    "config/models/converted.yaml": "extends: quickstart\nbase: {orbax: jax/params}\n",
    "config/datasets/mine.yaml": "source: local\npath: episodes\n",
    "config/experiments/mine.yaml": "extends: quickstart\nmodel: converted\ndatasets: [{name: mine}]\n",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose data and base weights lie in folders of their own; its checkpoint is built, from stand-ins."""
    for name in ("config", "scripts", "envs/orbax"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns(".venv"))
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys, "argv", ["-c"])
    scope = {}
    exec(STAND_INS, scope)
    scope["stand_in"](CHECKPOINT.target, tmp_path)
    return tmp_path


@pytest.fixture
def clone(project, tmp_path_factory):
    """What git has of the project."""
    folder = tmp_path_factory.mktemp("elsewhere") / "clone"
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns("data", "results", "jax", "episodes"))
    return folder


def now(node, root):
    """Its state by the configuration that is there now."""
    expected.cache_clear()
    stages._cached.cache_clear()
    return state(node, root)


def test_what_was_not_brought_along_is_what_it_was(project):
    assert now(CHECKPOINT, project) is None and unseen(BASE, project) == []
    for name in ("jax", "episodes"):
        shutil.rmtree(project / name)
    assert now(CHECKPOINT, project) is None
    assert unseen(BASE, project) == ["jax/params"] and unseen(DATASET, project) == ["episodes"]
    assert unseen(CHECKPOINT, project) == []


def test_what_is_there_and_changed_is_noticed(project):
    (project / "jax/params/_METADATA").write_text("{ }")
    (project / "episodes/meta/info.json").write_text("[]")
    assert now(BASE, project) == now(DATASET, project) == "pins files changed"
    assert now(CHECKPOINT, project) is not None


def test_another_folder_that_is_not_there_is_not_the_one_it_was_made_from(project):
    shutil.rmtree(project / "jax")
    (project / "config/models/converted.yaml").write_text("extends: quickstart\nbase: {orbax: jax/other}\n")
    assert now(BASE, project) == "pins files changed"


def test_without_a_record_nothing_is_known_of_it(project):
    (project / BASE.provenance).unlink()
    shutil.rmtree(project / "jax")
    assert now(BASE, project) == "no record of what it was made from"
    assert now(CHECKPOINT, project) is not None


def test_where_a_folder_lies_is_no_part_of_a_key_nor_of_the_place_of_a_training_state(project):
    made_from = expected(CHECKPOINT, project)
    moved = made_from.model_copy(update={"outside": {"base": "elsewhere"}})
    assert Build(moved).fingerprint == Build(made_from).fingerprint
    (project / "jax/params").rename(project / "jax/other")
    (project / "config/models/converted.yaml").write_text("extends: quickstart\nbase: {orbax: jax/other}\n")
    assert now(BASE, project) is None


def test_a_run_is_resumed_in_the_arithmetic_that_it_began_in(project, monkeypatch):
    build = Build(expected(CHECKPOINT, project))
    before = build.fingerprint
    monkeypatch.setenv("MKL_CBWR", "AVX512")
    assert build.fingerprint != before and build.key == Build(expected(CHECKPOINT, project)).key


def test_a_clone_has_them_as_they_are_and_writes_nothing_through(project, clone):
    (project / "data/mine/lerobot").symlink_to(project / "episodes")
    with building(BASE, project) as build:
        (project / BASE.target).write_bytes(bytes(SMALL + 1))
        build.outputs.append(project / BASE.target)
    for node in (BASE, DATASET):
        take(node, clone, project)
        assert now(node, clone) is None
    assert (clone / BASE.target).is_symlink() and (clone / "data/mine/lerobot/meta/info.json").is_file()
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    for node in (BASE, DATASET):
        with contextlib.suppress(RuntimeError), building(node, clone):
            raise RuntimeError("in the middle")
        (clone / node.target).with_name("notes").write_text("mine")
    (clone / DATASET.target).write_text("written in place")
    assert before == {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}


def test_a_clone_does_not_take_what_is_stale(project, clone):
    with (clone / "scripts/convert.py").open("a") as file:
        file.write("OTHER = True\n")
    with pytest.raises(ProvenanceError, match=r"code scripts/convert\.py changed; run: snakemake data/base/"):
        take(BASE, clone, project)
