"""What is committed for the bigger papers is accepted where it is used: by DVC, and by the shell."""

import shutil
import sys

import pytest
from dvc.repo import Repo
from pisft.config import papers
from pisft.provenance.graph import lineage
from pisft.provenance.pipeline import DEFAULT
from pisft.provenance.rebuild import given
from pisft.stages import Node
from typed_project import ROOT, copy_repository

SCRIPT = "papers/libero_openpi/run.sh"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The project as git has it, whose setting up takes the environment that there is."""
    project = copy_repository(tmp_path_factory.mktemp("repository") / "clone")
    (project.root / "envs/setup.sh").write_text(f"#!/bin/sh\nln -sfn {sys.prefix} .venv\n")
    return project


def test_dvc_knows_all_that_a_papers_table_is_made_from(repository):
    with Repo(str(repository.root)) as repo:
        repo.check_graph(repo.index.stages)
        for paper in papers(ROOT):
            path = "dvc.yaml" if paper == DEFAULT else f"papers/{paper}/dvc.yaml"
            (table,) = repo.stage.load_all(str(repository.root / path), "table")
            above = repo.stage.collect(str(repository.root / path), with_deps=True)
            outs = {out.def_path for stage in above for out in stage.outs}
            assert table.cmd.startswith(f"snakemake results/papers/{paper}/table.csv")
            assert {node.target for node in lineage(Node("paper", paper), ROOT)} <= outs, paper


def test_what_was_not_generated_is_not_built_again_to_compare():
    nodes = lineage(Node("paper", "libero_openpi"), ROOT)
    taken = {node.target for node in given(nodes, ROOT)}
    assert taken == {
        "data/libero/manifest.json",
        *(f"data/base/{model}/model.safetensors" for model in ("pi0_base", "pi05_base")),
    }
    assert given(lineage(Node("paper", DEFAULT), ROOT), ROOT) == []


def test_the_papers_script_says_in_a_fresh_clone_what_it_would_do(repository):
    said = repository.run(f"./{SCRIPT}", PATH="/usr/bin:/bin", DRY_RUN="1").stdout
    jobs = {line.split()[0] for line in said.split("Job stats:")[1].split("\n\n")[0].splitlines()[3:]}
    assert {"make_dataset", "convert", "norm_stats", "train", "evaluate", "report"} <= jobs


def test_the_papers_script_looks_for_its_tools_before_anything_long(repository, tmp_path):
    (repository.root / "tools/doctor.py").write_text("")
    for tool in ("bash", "dirname", "env", "ln", "make", "mkdir", "sh"):
        (tmp_path / tool).symlink_to(shutil.which(tool))

    def stopped():
        done = repository.run(f"./{SCRIPT}", check=False, PATH=str(tmp_path), DRY_RUN="")
        assert done.returncode == 1
        return done.stderr.splitlines()[-1]

    assert stopped().startswith("nvidia-smi: not found on PATH; it comes with the NVIDIA driver")
    (tmp_path / "nvidia-smi").symlink_to("/bin/true")
    assert stopped().startswith("gsutil: not found on PATH; it fetches openpi's base weights")
    assert not (repository.root / "data/openpi").exists()
