"""Every command in README and docs works as far as a machine without GPU, hub and cluster can tell.

What is typed in a block is run by a test, or marked as needing GPUs, the hub or a cluster. Marked or not, Snakemake
plans each target, each script takes the arguments it is given, and make and DVC know what they are asked for. "Run by
a test" is of the parts: some test makes an artefact of each stage, and runs each script and each command of DVC, with
arguments of its own where the page's would take hours. A command in running text has to be understood, and no more.
"""

import ast
import re
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from pisft.config import load_dataset, resolve
from pisft.config.dataset import HubDataset
from pisft.config.model import BaseWeights
from pisft.evaluate.intervals import episodes_needed, power
from pisft.provenance.graph import lineage
from pisft.stages import STAGES, Node, ProvenanceError, node_of
from script_arguments import parse
from typed_project import ROOT, copy_project

PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = {
    "<exp>": "quickstart",
    "<base>": "quickstart",
    "<dataset>": "libero",
    "<folder>": "~/mine",
    "<file>": "dvc.lock",
}
WRITTEN_LATER = ("my_libero", "my_config")  # experiments that tools/import_rlinf.py writes
PROGRAMS = {"snakemake", "python", "make", "dvc"}
# Programs of others, for a GPU, a hub, a cluster or a container engine: read by people, run by nobody here.
MANY = {"apptainer", "docker", "srun", "torchrun"}  # what starts ours on GPUs, in a container or on a cluster
ELSEWHERE = {"apptainer", "apt-get", "cd", "curl", "docker", "export", "git", "gsutil", "hf", "mkdir", "source", "uv"}
MARK = re.compile(r"\bGPUs?\b|\bhub\b|\bcluster\b|--gpus|--gres|--nv\b|hub:")
END_TO_END = "workflow/test_end_to_end.py::test_every_artefact_is_there_and_a_second_run_has_nothing_to_do"
EXPORTS = "workflow/test_export.py::test_the_script_records_every_file_and_prints_what_the_other_side_does_otherwise"
SETS = "workflow/test_smoke_sets.py::test_a_paper_and_a_sweep_run_tiny"
FOLDERS = "(?:scripts|tools|benchmarks)"
RUN_BY = {  # stage → a test that makes one
    **dict.fromkeys(("make_dataset", "resolve", "norm_stats", "train", "evaluate", "report"), END_TO_END),
    "make_frames": "workflow/test_smoke.py::test_recipes_run_tiny_from_their_datasets_to_their_evaluations",
    "inspect_dataset": "workflow/test_inspect.py::test_it_is_built_once_and_what_it_proposes_is_a_format",
    **dict.fromkeys(("export_lerobot", "export_openpi"), EXPORTS),
    **dict.fromkeys(("paper", "sweep", "diff"), SETS),
}


class Command(NamedTuple):
    """One that stands on a page: its words from our program on, without what starts that (srun, a container)."""

    page: str
    words: tuple[str, ...]
    starter: str = ""  # the first word of all
    marked: bool = False  # as needing GPUs, the hub or a cluster
    inline: bool = False  # in running text

    def __str__(self):
        return f"{self.page}: {shlex.join(self.words)}"


def blocks(kind: str, text: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def words_of(line: str) -> tuple[str, ...]:
    """The words from the first program of ours on; all of them where there is none."""
    for placeholder, name in NAMES.items():
        line = line.replace(placeholder, name)
    words = shlex.split(line, comments=True)
    for at, word in enumerate(words):
        if Path(word).name in PROGRAMS and "=" not in word and not words[at - 1].startswith("-"):
            return (Path(word).name, *words[at + 1 :])
        if re.fullmatch(rf"{FOLDERS}/\w+\.py", word):
            return ("python", *words[at:])
    return tuple(words)


def shell_commands(page: str, text: str) -> list[Command]:
    """Of lines of shell; a mark stands in a line's comment, or in one above it that reaches to the next empty line."""
    found, above = [], ""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if not line.strip():
            above = ""
        elif line.lstrip().startswith("#"):
            above += line
        elif not line.startswith("("):
            found.append(Command(page, words_of(line), line.split()[0], bool(MARK.search(line + above))))
    return found


def all_commands() -> list[Command]:
    found = []
    for page in PAGES:
        text = page.read_text()
        found += [command for block in blocks("sh", text) for command in shell_commands(page.name, block)]
        for code in re.findall(
            r"(?<!`)`([^`]+)`(?!`)", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        ):
            if re.match(rf"(python|snakemake|make|dvc|torchrun|srun) |{FOLDERS}/\w+\.py", code):
                found.append(Command(page.name, words_of(code), inline=True))
    for script in sorted((ROOT / "papers").glob("*/run.sh")):
        lines = re.findall(r"^ *(?:exec \S*/)?((?:snakemake|python|make) [^|\n]*)", script.read_text(), re.MULTILINE)
        found += [Command(f"papers/{script.parent.name}/run.sh", words_of(line), marked=True) for line in lines]
    return list(dict.fromkeys(found))


ALL = all_commands()


def of(program: str) -> list[Command]:
    """Those of `program`, and what the Makefile types for those of make."""
    found = [command for command in ALL if command.words[0] == program]
    if program in ("python", "snakemake"):
        found += [typed for command in of("make") for typed in recipe(command) if typed.words[0] == program]
    return found


@cache
def recipe(command: Command) -> list[Command]:
    """What `make` would type; a target that it does not have is an AssertionError."""
    words = [word for word in command.words[1:] if word != "…"]
    done = subprocess.run(["make", "-C", ROOT, "--dry-run", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    lines = re.findall(r"^((?:snakemake|python) .*)$", done.stdout, re.MULTILINE)
    return [command._replace(page=str(command), words=words_of(line)) for line in lines]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project with the files that the pages tell to write, and with a dataset of one's own."""
    copy = copy_project(tmp_path_factory.mktemp("docs") / "project")
    for page in PAGES[::-1]:  # README has the last word
        for block in blocks("yaml", page.read_text()):
            if match := re.match(r"# (config/(?:datasets|formats|experiments)/\S+\.yaml)\n", block):
                (copy.root / match[1]).write_text(block)
    for name in WRITTEN_LATER:
        shutil.copy(copy.root / "config/experiments/pi0_libero.yaml", copy.root / f"config/experiments/{name}.yaml")
    return copy


def test_there_are_commands_and_each_is_of_a_known_kind():
    strange = [
        str(command)
        for command in ALL
        if command.words[0] not in PROGRAMS | ELSEWHERE and not command.words[0].endswith("/run.sh")
    ]
    assert len([command for command in ALL if not command.inline]) > 80 and len(ALL) > 140 and not strange, strange


def test_every_target_can_be_planned(project):
    from snakemake.cli import get_argument_parser

    targets: dict[str, Command] = {}
    for command in of("snakemake"):
        if "--version" in command.words:
            continue
        for target in get_argument_parser().parse_args(list(command.words[1:])).targets:
            targets.setdefault(target, command)
    assert len(targets) > 30

    def plan(*names):
        return project.snakemake("-n", *names, check=False, HOME=str(project.root))

    together = plan(*targets)
    if together.returncode:
        alone = {target: plan(target) for target in targets}
        refused = [f"{targets[name]}\n{done.stdout[-800:]}" for name, done in alone.items() if done.returncode]
        pytest.fail("\n".join(refused or [together.stdout[-2000:]]))


def test_every_script_takes_the_arguments_it_is_given(project):
    ours = [command for command in of("python") if re.match(FOLDERS, command.words[1])]
    missing = [str(command) for command in ours if not (ROOT / command.words[1]).is_file()]
    assert not missing
    named = [command for command in ours if len(command.words) > 2 or not command.inline]
    jobs = {" ".join(command.words[1:]): command for command in named}
    answers = parse(project, [(command.words[1], list(command.words[2:])) for command in jobs.values()])
    refused = [f"{command}\n{answers[job][0]}" for job, command in jobs.items() if answers[job][0]]
    assert len(jobs) > 40 and not refused, "\n".join(refused)


def test_every_target_of_make_is_in_the_makefile():
    assert all(recipe(command) is not None for command in of("make"))


def test_dvc_understands_and_a_test_runs_it():
    from dvc.cli import parse_args

    calls = (ROOT / "tests/workflow/test_papers.py").read_text()
    for command in of("dvc"):
        parse_args(list(command.words[1:]))
        assert command.inline or f'dvc("{command.words[1]}"' in calls, f"{command}: no test runs it"


def test_every_script_is_run_by_a_test():
    called = {STAGES[stage].script for stage in RUN_BY}
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call | ast.Tuple | ast.List | ast.BinOp):
                for part in ast.iter_child_nodes(node):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        called |= set(re.findall(rf"^{FOLDERS}/(\w+\.py)$", part.value))
    never = [
        str(command)
        for command in of("python")
        if not command.inline and Path(command.words[1]).name not in called and command.words[1] != "-m"
    ]
    assert not never


def test_every_stage_is_made_by_a_test():
    marked = STAGES.keys() - RUN_BY.keys()
    assert marked == {"convert"}, "which needs openpi's weights, and so no command that is not marked asks for it"
    for test in set(RUN_BY.values()):
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / "tests" / path).read_text(), f"{test}: is no test"


def test_what_needs_the_hub_or_a_gpu_says_so(project):
    """All published weights are of a size that asks for a GPU, and come from outside, as do datasets of the hub."""
    typed = [command for command in ALL if not command.inline and "-n" not in command.words]
    unmarked = [command for command in typed if not command.marked]
    silent = [
        str(command)
        for command in unmarked
        if any(far(node, project.root) for node in nodes(command))
        or (command.starter in MANY and command.words[0] in PROGRAMS)
    ]
    assert not silent, "name what it needs (GPUs, the hub, a cluster) in a comment:\n" + "\n".join(silent)
    assert len(unmarked) > 40, "most need none of it"


def nodes(command: Command) -> list[Node]:
    """The artefacts that a command makes or takes, as far as its words name them."""
    found = []
    for word in command.words:
        word = word.replace("diff.html", "diff.json")
        if match := re.match(r"papers/(\w+)/(?:dvc\.yaml|run\.sh)$", word):
            found.append(Node("paper", match[1]))
        elif match := re.match(r"results/([^/]+)/(?:config\.json|checkpoint)$", word):
            found.append(Node("train", match[1]))
        else:
            try:
                found.append(node_of(word))
            except ProvenanceError:
                continue
    return found


@cache
def far(node: Node, root: Path) -> bool:
    """Whether a dataset of the hub or published weights are needed for it."""
    for part in lineage(node, root):
        if part.stage == "make_dataset" and isinstance(load_dataset(part.name, root).origin, HubDataset):
            return True
        if part.stage == "resolve":
            base = resolve(part.name, root).model.base
            if isinstance(base, BaseWeights) and base.experiment is None:
                return True
    return False


def test_how_many_episodes_are_needed_is_what_the_page_says(project):
    page = (ROOT / "docs/evaluation.md").read_text()
    told = re.search(r"episodes_needed\.py 0\.90 0\.95 +# (\d+) episodes of each: power (\S+)", page)
    assert f"{power(0.90, 0.95, int(told[1])):.3f}" == told[2]
    said = project.python("tools/episodes_needed.py", "0.9", "0.5").stdout
    assert said.startswith(f"{episodes_needed(0.9, 0.5)} episodes of each: power 0.8")


def test_both_readmes_have_the_same_commands_files_and_links():
    def content(page):
        text = page.read_text()
        code = [
            re.sub(r"\s+#.*$", "", block, flags=re.MULTILINE) for kind in ("sh", "yaml") for block in blocks(kind, text)
        ]
        inline = {code for code in re.findall(r"`([^`\n]+)`", text) if " " in code}
        return code, set(re.findall(r"\]\(([^)]+)\)", text)) - {"README.md", "README.zh-CN.md"}, inline

    english, chinese = (content(ROOT / name) for name in ("README.md", "README.zh-CN.md"))
    assert english[0] == chinese[0] and len(english[0]) > 8
    assert english[1] == chinese[1] and len(english[1]) > 25
    assert english[2] == chinese[2]


def test_links_lead_somewhere():
    broken = []
    for page in [*PAGES, ROOT / "data/README.md", ROOT / "results/README.md"]:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text()):
            there = page.parent / target if target else page
            if "://" not in target and not (there.exists() and (not anchor or anchor in anchors(there))):
                broken.append(f"{page.name}: {target}#{anchor}")
    assert not broken


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as they are named where it is shown."""
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE), re.M
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_shell_scripts_are_sound():
    for path in sorted([*ROOT.glob("papers/**/*.sh"), *ROOT.glob("envs/*.sh"), ROOT / ".ci/run"]):
        assert subprocess.run(["bash", "-n", path]).returncode == 0


def test_the_messages_that_are_explained_are_those_that_are_said():
    table = (ROOT / "docs/troubleshooting.md").read_text().split("| it does")[0]
    cells = re.findall(r"^\| `(.*?)` \| ", table, re.MULTILINE)
    quoted = [part.strip("… ") for cell in cells for part in cell.split("`, `")]
    files = [
        *(ROOT / "workflow/pisft").rglob("*.py"),
        *ROOT.glob("scripts/*.py"),
        *ROOT.glob("tools/*.py"),
        *(ROOT / "envs").glob("*.sh"),
    ]
    files += [ROOT / "envs/orbax/dump.py"]
    said = "".join(path.read_text() for path in files)
    assert len(quoted) > 20 and [message for message in quoted if message not in said] == []
