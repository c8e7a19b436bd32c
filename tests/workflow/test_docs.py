"""Every command in README and docs is one that works: planned, understood by its script, or run by another test."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typed_project import ROOT, copy_project

PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = {"<exp>": "quickstart", "<base>": "quickstart", "<dataset>": "libero", "<model>": "pi0_base"}
# Programs of others, which need a GPU, a hub, a cluster or a container engine: read by people, run by nobody here.
ELSEWHERE = {"apptainer", "apt-get", "cd", "curl", "docker", "export", "git", "gsutil", "hf", "source", "srun", "uv"}
ONLY_ARGUMENTS = """
import argparse, runpy, sys
parse = argparse.ArgumentParser.parse_known_args
def only_parse(self, *args, **kwargs):
    _, unknown = parse(self, *args, **kwargs)
    sys.exit(any(word.startswith("-") for word in unknown) and f"unknown: {unknown}")
argparse.ArgumentParser.parse_known_args = only_parse
sys.argv = sys.argv[1:]
sys.path.insert(0, "scripts")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def blocks(kind: str, page: Path) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands() -> dict[str, str]:
    """Command → the page it stands on; comments are gone and names stand for their placeholders."""
    found = {}
    for page in PAGES:
        for block in blocks("sh", page):
            for line in re.sub(r"\\\n\s*", " ", block).splitlines():
                command = re.sub(r"\s+#.*$", "", line).strip()
                for placeholder, name in NAMES.items():
                    command = command.replace(placeholder, name)
                if command and not command.startswith(("#", "(", "-e ")):
                    found.setdefault(command, page.name)
    return found


ALL = commands()


def of(program: str) -> list[str]:
    return [command for command in ALL if program in shlex.split(command)[:2]]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project with the files that the pages tell to write, and with a dataset of one's own."""
    copy = copy_project(tmp_path_factory.mktemp("docs") / "project")
    for page in PAGES[::-1]:  # README has the last word
        for block in blocks("yaml", page):
            if match := re.match(r"# (config/(?:datasets|formats|experiments)/\S+\.yaml)\n", block):
                (copy.root / match[1]).write_text(block)
    experiment = (copy.root / "config/experiments/pi0_libero.yaml").read_text()
    (copy.root / "config/experiments/my_libero.yaml").write_text(experiment)
    for name in ("Makefile", "papers", "dvc.yaml"):
        source = ROOT / name
        shutil.copytree(source, copy.root / name) if source.is_dir() else shutil.copy(source, copy.root)
    return copy


def test_there_are_commands_and_each_is_of_a_known_kind():
    known = ELSEWHERE | {"snakemake", "python", "dvc", "make", "torchrun"}
    strange = [
        command
        for command in ALL
        if not {Path(word).name for word in shlex.split(command)[:2]} & (known | {"run.sh"})
        and "snakemake" not in command
        and "dvc" not in command
    ]
    assert len(ALL) > 80 and not strange, strange


@pytest.mark.parametrize("command", of("snakemake"))
def test_a_target_can_be_planned(project, command):
    words = [word for word in shlex.split(command) if word not in ("snakemake", "-n")]
    if "--profile" in words:
        del words[(at := words.index("--profile")) : at + 2]  # the cluster's own tests type it
    planned = project.snakemake("-n", *words, check=False, HOME=str(project.root))
    assert planned.returncode == 0, f"{ALL[command]}: {command}\n{planned.stdout[-500:]}{planned.stderr[-500:]}"


@pytest.mark.parametrize("command", of("python"))
def test_a_script_takes_its_arguments_and_is_run_by_a_test(project, command):
    _, script, *arguments = shlex.split(command)
    done = project.python("-c", ONLY_ARGUMENTS, script, *arguments, check=False)
    assert done.returncode == 0, f"{ALL[command]}: {command}\n{done.stderr[-500:]}"
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "rules").glob("*.smk")]  # the tests run every rule
    assert any(Path(script).name in path.read_text() for path in files), f"{script}: no test runs it"


def test_how_many_episodes_are_needed_is_what_the_page_says(project):
    said = project.python("scripts/episodes_needed.py", "0.90", "0.95").stdout
    assert re.search(r"466\D.*0\.801", said, re.DOTALL)


@pytest.mark.parametrize("command", of("make"))
def test_a_make_target_exists(project, command):
    assert project.run(*shlex.split(command), "--dry-run").returncode == 0


@pytest.mark.parametrize("command", [command for command in ALL if re.match(r"(\w+=\w+ )?dvc ", command)])
def test_dvc_understands(command):
    from dvc.cli import parse_args

    words = shlex.split(command)
    parse_args(words[words.index("dvc") + 1 :])


def test_links_lead_somewhere():
    broken = []
    for page in [*PAGES, ROOT / "data/README.md", ROOT / "results/README.md"]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert not broken


def test_the_shell_scripts_are_sound():
    for path in sorted([*ROOT.glob("papers/**/*.sh"), *ROOT.glob("envs/*.sh"), ROOT / ".ci/run"]):
        assert subprocess.run(["bash", "-n", path]).returncode == 0
    plan = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "results/pi05_libero/report.html"], cwd=ROOT, capture_output=True
    )
    assert plan.returncode == 0


def test_the_messages_that_are_explained_are_those_that_are_said():
    table = (ROOT / "docs/troubleshooting.md").read_text().split("| it does")[0]
    cells = re.findall(r"^\| `(.*?)` \| ", table, re.MULTILINE)
    quoted = [part.strip("… ") for cell in cells for part in cell.split("`, `")]
    files = [*(ROOT / "workflow/pisft").rglob("*.py"), *(ROOT / "scripts").glob("*.py"), *(ROOT / "envs").glob("*.sh")]
    said = "".join(path.read_text() for path in files)
    assert len(quoted) > 20 and [message for message in quoted if message not in said] == []
