"""Whatever code a stage runs is part of its key: each function, constant and class variable is changed in turn."""

import ast
import random
import shutil
from importlib import import_module
from pathlib import Path

import pytest
from mutation import mutate, places
from pisft.config.files import load_simulator
from pisft.provenance import code, symbols
from pisft.stages import STAGES

ROOT = Path(__file__).parents[2]
SIMULATORS = {"make_dataset": ("metaworld", "maniskill", "aloha"), "evaluate": ("libero", "calvin", "robotwin")}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package and the scripts that the code hashes are asked about, as `ast` writes it."""
    shutil.copytree(ROOT / "workflow/pisft", tmp_path / "workflow/pisft", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "PACKAGE", tmp_path / "workflow/pisft")
    for path in tmp_path.rglob("*.py"):
        path.write_text(ast.unparse(ast.parse(path.read_text())))
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    for cached in (code._closure, code._module_file, code._file_hash, code._imports, symbols.tree, symbols.symbols):
        cached.cache_clear()


def closures(folder: Path) -> dict[str, dict[str, str]]:
    """The code hashes of each stage, and of each simulator for those that run one."""
    found = {}
    for stage, definition in STAGES.items():
        script = folder / "scripts" / definition.script
        found[stage] = code.code_hashes(script)
        for name in SIMULATORS.get(stage, ()):
            implied = code.of_simulator(load_simulator(name, ROOT, "here", "simulator"))
            found[f"{stage} in {name}"] = code.code_hashes(script, *implied)
    return found


def label_of(path: str, name: str, hashes: dict[str, str]) -> str | None:
    """What stands for `name` of the file `path` in `hashes`."""
    return next((label for label in (path, f"{path}:{name.split('.')[0]}") if label in hashes), None)


def rounds(folder: Path):
    """One place of every file a round: (path, its tree, place), until none is left."""
    files = {path: ast.parse(path.read_text()) for path in sorted(folder.rglob("*.py"))}
    todo = {path: random.Random(path.name).sample(found := places(tree), len(found)) for path, tree in files.items()}
    for number in range(max(map(len, todo.values()))):
        yield [(path, files[path], found[number]) for path, found in todo.items() if number < len(found)]


def check(folder: Path, changes: list, seed: int) -> int:
    """Change the places, look whether each stage that runs one notices, change them back; how many were looked at."""
    before, looked_at = closures(folder), 0
    texts = {path: path.read_text() for path, _, _ in changes}
    for number, (path, tree, place) in enumerate(changes):
        path.write_text(ast.unparse(mutate(tree, place, seed + number)))
    forget()
    after = closures(folder)
    for path, _, (_, name) in changes:
        top = "scripts" if path.parent == folder / "scripts" else "workflow"
        label = path.relative_to(folder / top).as_posix()
        label = f"scripts/{label}" if top == "scripts" else label
        for stage, hashes in before.items():
            if found := label_of(label, name, hashes):
                assert after[stage].get(found) != hashes[found], f"{stage} does not notice that {label}: {name} changed"
                looked_at += 1
    for path, text in texts.items():
        path.write_text(text)
    forget()
    return looked_at


def test_a_sample_of_changes_is_noticed(package):
    assert check(package, next(rounds(package)), seed=0) > 500


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_change_is_noticed(package, capsys):
    counts = [(len(changes), check(package, changes, seed)) for seed, changes in enumerate(rounds(package))]
    changed, looked_at = map(sum, zip(*counts, strict=True))
    with capsys.disabled():
        print(f"\n{changed} changes, each in all stages that run it: {looked_at}")
    assert changed > 1000 and looked_at > changed


def test_what_is_left_out_is_named_with_a_reason_and_there():
    for name, reason in code.LEFT_OUT.items():
        module, _, inner = name.partition(":")
        assert reason and hasattr(import_module(module), inner or "__name__"), name


LATER = [
    ("ranges.py", "int(last or first) + 1", "int(last or first)", {"norm_stats", "train", "evaluate"}),
    ("format.py", "return ROT6D_DIMS", "return 5", {"norm_stats", "train", "evaluate", "export_lerobot"}),
    (
        "simulators/aloha.py",
        "cam_left_wrist': 'left_wrist'",
        "cam_left_wrist': 'right_wrist'",
        {"make_dataset in aloha"},
    ),
    ("simulators/metaworld.py", "'hand_x', 'hand_y'", "'hand_y', 'hand_x'", {"make_dataset in metaworld"}),
    ("simulators/calvin.py", "stages: ClassVar[int] = 5", "stages: ClassVar[int] = 4", {"evaluate in calvin"}),
    (
        "simulators/base.py",
        "return self.max_steps\n",
        "return self.max_steps + 1\n",
        {"evaluate in libero", "make_dataset in aloha"},
    ),
]


def test_configuration_code_that_runs_later_is_in_the_key(package):
    old = closures(package)
    for file, before, after, stale in LATER:
        path = package / "workflow/pisft/config" / file
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
        forget()
        changed = {stage for stage, hashes in closures(package).items() if hashes != old[stage]}
        assert stale <= changed, before
        if file.startswith("simulators/") and file != "simulators/base.py":
            assert changed == stale, "of another simulator, nothing is made again"
        path.write_text(text)


def test_what_only_reads_a_configuration_makes_nothing_stale(package):
    old = closures(package)
    for file, before, after in (
        ("train.py", "0 makes the base weights", "0 makes base weights"),
        ("document.py", "def ", "def _new():\n    pass\ndef "),
    ):
        path = package / "workflow/pisft/config" / file
        assert before in path.read_text(), file
        path.write_text(path.read_text().replace(before, after, 1))
        forget()
        assert closures(package) == old, (file, before)
