"""A copy of the project with small stand-ins for its artefacts, each built and recorded as the real ones are."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXPERIMENT = "quickstart"

STAND_IN = f"""
import json, sys
from pathlib import Path
from pisft.config import resolve
from pisft.provenance.graph import Node, building
from pisft.canonical import write_json
for stage, name in [("dataset", "metaworld_quickstart")] + [
    (stage, "{EXPERIMENT}") for stage in ("config", "norm_stats", "checkpoint", "eval", "report")
]:
    node = Node(stage, name)
    with building(node) as build:
        content = {{"stage": stage}}
        if stage == "config":
            content = resolve(name).model_dump(mode="json", by_alias=True)
        write_json(Path(node.target), content)
        build.outputs.append(Path(node.target))
        if stage == "norm_stats":
            write_json(Path("results/{EXPERIMENT}/norm_stats.report.json"), content)
        if stage == "checkpoint":
            weights = Path("results/{EXPERIMENT}/checkpoint/model.safetensors")
            weights.parent.mkdir(exist_ok=True)
            weights.write_bytes(bytes(1000))
            build.outputs.append(weights)
"""


class Project:
    """A folder with the project in it, and what one types there."""

    def __init__(self, root: Path):
        self.root = root

    def run(self, *command: str, check: bool = True, **env: str) -> subprocess.CompletedProcess:
        result = subprocess.run(
            command,
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(self.root / "workflow"), "PYTHONDONTWRITEBYTECODE": "1"} | env,
            capture_output=True,
            text=True,
        )
        if check and result.returncode:
            raise AssertionError(f"{' '.join(command)}: exit {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result

    def python(self, *args: str, **kwargs) -> subprocess.CompletedProcess:
        return self.run(sys.executable, *args, **kwargs)

    def snakemake(self, *args: str, **kwargs) -> subprocess.CompletedProcess:
        return self.run(sys.executable, "-m", "snakemake", *args, **kwargs)

    def plan(self, target: str = f"results/{EXPERIMENT}/report.html") -> set[str]:
        """Names of the rules that `snakemake -n target` would run."""
        output = self.snakemake("-n", target).stdout
        if "Job stats:" not in output:
            assert "Nothing to be done" in output, output
            return set()
        table = output.split("Job stats:")[1].split("\n\n")[0].splitlines()[3:]
        return {line.split()[0] for line in table if line.strip()} - {"total"}

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        text = file.read_text()
        assert old in text, f"{path} does not hold {old!r}"
        file.write_text(text.replace(old, new, 1))


def copy_project(target: Path) -> Project:
    """Copy what makes up the project, without data, results and environment."""
    target.mkdir(parents=True)
    for name in ("Snakefile", "pyproject.toml", "config", "rules", "scripts", "workflow"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / name)
    (target / "slurm").symlink_to("workflow/profiles/slurm")
    return Project(target)


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
