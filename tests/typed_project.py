"""A copy of the project, and what one types there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import warm

ROOT = Path(__file__).parents[1]
EXPERIMENT = "quickstart"
STAND_INS = """
import sys
from pathlib import Path
from pisft.canonical import write_json
from pisft.config import resolve
from pisft.provenance.build import building
from pisft.provenance.graph import lineage
from pisft.stages import node_of

def stand_in(target, root=Path()):
    for node in lineage(node_of(target), root):
        with building(node, root) as build:
            content = {"stage": node.stage}
            if node.stage == "resolve":
                content = resolve(node.name, root).model_dump(mode="json", by_alias=True)
            write_json(root / node.target, content)
            build.outputs.append(root / node.target)

for target in sys.argv[1:]:
    stand_in(target)
"""  # records small files as the artefact that is asked for and all that it is made from


class Project:
    """A folder with the project in it, and what one types there."""

    def __init__(self, root: Path):
        self.root = root

    def run(
        self,
        *command: str,
        check: bool = True,
        input: str | None = None,  # noqa: A002  as `subprocess.run` has it
        cold: bool = False,
        **env: str,
    ) -> subprocess.CompletedProcess:
        """What a command comes to; one of Python starts warm, as `warm` has it, unless it is to start `cold`."""
        env = os.environ | {"PYTHONPATH": str(self.root / "workflow"), "PYTHONDONTWRITEBYTECODE": "1"} | env
        if command[0] == sys.executable and not cold:
            result = warm.run(command[1:], self.root, env, input or "")
        else:
            result = subprocess.run(command, input=input, cwd=self.root, env=env, capture_output=True, text=True)
        if check and result.returncode:
            raise AssertionError(
                f"{' '.join(map(str, command))}: exit {result.returncode}\n{result.stdout}\n{result.stderr}"
            )
        return result

    def python(self, *args: str, **kwargs) -> subprocess.CompletedProcess:
        return self.run(sys.executable, *args, **kwargs)

    def snakemake(self, *args: str, **kwargs) -> subprocess.CompletedProcess:
        return self.run(sys.executable, "-m", "snakemake", *args, **kwargs)

    def plan(self, *targets: str) -> set[str]:
        """Names of the rules that `snakemake -n` would run for `targets`, by default the quickstart's report."""
        return set(self.jobs(*targets))

    def jobs(self, *targets: str) -> dict[str, set[str]]:
        """Rule → what its jobs are for (an experiment, a dataset, …), of a plan as `plan` has it."""
        output = self.snakemake("-n", *(targets or [f"results/{EXPERIMENT}/report.html"])).stdout
        if "Job stats:" not in output:
            assert "Nothing to be done" in output, output
            return {}
        found: dict[str, set[str]] = {}
        for rule, job in re.findall(r"^(?:local)?rule (\w+):\n((?: .*\n)*)", output, re.MULTILINE):
            found.setdefault(rule, set()).update(re.findall(r"^    wildcards: \w+=([^,\n]+)", job, re.MULTILINE))
        return found

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        text = file.read_text()
        assert old in text, f"{path} does not hold {old!r}"
        file.write_text(text.replace(old, new, 1))


def copy_project(target: Path) -> Project:
    """Copy what makes up the project, without data, results and environment."""
    target.mkdir(parents=True)
    for name in (
        "Snakefile",
        "pyproject.toml",
        "config",
        "envs",
        "rules",
        "scripts",
        "tools",
        "benchmarks",
        "workflow",
    ):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", ".venv"))
        else:
            shutil.copy(source, target / name)
    (target / "slurm").symlink_to("workflow/profiles/slurm")
    (target / "profiles").symlink_to("workflow/profiles")
    return Project(target)


def copy_repository(target: Path) -> Project:
    """`copy_project`, with all that git and DVC know of it besides; nothing is committed."""
    project = copy_project(target)
    for name in (".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore", "data/README.md", "results/README.md"):
        (target / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    for name in ("Makefile", "uv.lock", "dvc.yaml"):
        shutil.copy(ROOT / name, target / name)
    shutil.copytree(ROOT / "papers", target / "papers", ignore=shutil.ignore_patterns("dvc.lock"))
    project.run("git", "init", "-qb", "main")
    return project
