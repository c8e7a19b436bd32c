"""Tests on a real cluster; without one, each is skipped and says why."""

import shutil
from pathlib import Path

import pytest
from slurm_run import EXPERIMENT, Run, up, write_site
from typed_project import Project, copy_project


def pytest_collection_modifyitems(items):
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:
        item.add_marker(pytest.mark.slurm)
    if here and (reason := up()):
        for item in here:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def _prepared(tmp_path_factory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("slurm") / "prepared")
    (project.root / "config/experiments/tiny.yaml").write_text(EXPERIMENT)
    write_site(project.root)
    frames = [f"data/pi0_libero~smoke/frames/{camera}/index.json" for camera in ("image.96", "wrist_image.96")]
    project.snakemake("-c2", "results/tiny/norm_stats.json", *frames)
    return project


@pytest.fixture
def run(_prepared, tmp_path):
    """An experiment that is ready to be trained."""
    shutil.copytree(_prepared.root, tmp_path / "project", symlinks=True)
    run = Run(Project(tmp_path / "project"))
    yield run
    run.close()


@pytest.fixture(scope="session")
def uninterrupted(_prepared, tmp_path_factory) -> Run:
    """The experiment trained on two nodes without a disturbance."""
    root = tmp_path_factory.mktemp("uninterrupted") / "project"
    shutil.copytree(_prepared.root, root, symlinks=True)
    run = Run(Project(root))
    run.trained()
    yield run
    run.close()
