"""Projects in which the quickstart is built, from small stand-ins recorded as real artefacts are, or not."""

import shutil

import pytest
from typed_project import EXPERIMENT, Project, copy_project

STAND_IN = f"""
import json, sys
from pathlib import Path
from pisft.config import resolve
from pisft.stages import Node
from pisft.provenance.build import building
from pisft.canonical import write_json
for stage, name in [
    ("make_dataset", "metaworld_quickstart"), ("make_frames", "metaworld_quickstart/frames/observation.image.96")
] + [
    (stage, "{EXPERIMENT}") for stage in ("resolve", "norm_stats", "train", "evaluate", "report")
]:
    node = Node(stage, name)
    with building(node) as build:
        content = {{"stage": stage}}
        if stage == "resolve":
            content = resolve(name).model_dump(mode="json", by_alias=True)
        write_json(Path(node.target), content)
        build.outputs.append(Path(node.target))
        if stage == "norm_stats":
            write_json(Path("results/{EXPERIMENT}/norm_stats.report.json"), content)
            Path("results/{EXPERIMENT}/norm_stats.report.png").touch()
        if stage == "train":
            weights = Path("results/{EXPERIMENT}/checkpoint/model.safetensors")
            weights.parent.mkdir(exist_ok=True)
            weights.write_bytes(bytes(1000))
            build.outputs.append(weights)
"""


@pytest.fixture(scope="session")
def _built(tmp_path_factory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("project") / "built")
    project.python("-c", STAND_IN)
    return project


@pytest.fixture
def project(_built, tmp_path) -> Project:
    """A copy in which the quickstart is built and fresh."""
    shutil.copytree(_built.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


@pytest.fixture
def bare_project(tmp_path) -> Project:
    """A copy in which nothing is built."""
    return copy_project(tmp_path / "bare")
