"""An experiment built again in a fresh clone, and compared with the one here. Start from `rebuild`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pisft.canonical import read_json
from pisft.config import resolve
from pisft.diff.measure import differ, measure
from pisft.diff.side import Side
from pisft.diff.terminal import summary
from pisft.provenance.committed import beside_lock
from pisft.provenance.freshness import state
from pisft.provenance.graph import lineage
from pisft.provenance.rebuild import fresh_clone, given, run_in, take
from pisft.provenance.record import recorded
from pisft.records.provenance import Record
from pisft.stages import Node, ProvenanceError

UNKNOWN = "unknown"  # the original machine is not recorded
LOCK = "uv.lock"  # its hash is recorded beside the key
OF_PROCESSOR = ("processor", "cores", "threads", "gpu", "cuda")  # of a machine: portable arithmetic depends on none
AT_RANDOM = "a GPU without train.deterministic"


def rebuild(exp: str, tolerance: float) -> int:
    """Build `exp` again in a clone of the project in the working directory, print what differs, and return 0 if it is
    the same: to the bit on a machine like the one that made it, elsewhere within `tolerance`; else 1.

    Raises `ProvenanceError` if it is not built here.
    """
    here = Path.cwd()
    goal = Node("evaluate", exp)
    nodes = lineage(goal)
    for node in nodes:
        if reason := state(node):
            raise ProvenanceError(f"{node.target}: {reason}; run: snakemake {goal.target}")
    taken = given(nodes)
    with tempfile.TemporaryDirectory() as temporary:
        clone = fresh_clone(Path(temporary) / "clone")
        for node in taken:
            take(node, clone)
        run_in(clone, "snakemake", goal.target)
        differing, machines = [], []  # files, and keys of the machine
        for node in (node for node in nodes if node not in taken):
            ours, theirs = _record(node, here), _record(node, clone)
            files = ours.outputs | theirs.outputs
            differing += [path for path in files if ours.outputs.get(path) != theirs.outputs.get(path)]
            apart = _other(here / node.machine, clone / node.machine)
            if ours.arithmetic == theirs.arithmetic == "portable":
                apart = [key for key in apart if key not in OF_PROCESSOR]
            apart += ["arithmetic"] if ours.arithmetic != theirs.arithmetic else []
            apart += [LOCK] if ours.uv_lock != theirs.uv_lock else []
            machines += [key for key in apart if key not in machines]
        if not differing:
            print("every file is the same, bit for bit")
            _tell(beside_lock(exp, here))
            return 0
        print(*(f"{path}: differs" for path in differing), sep="\n")
        if at_random(here, exp):
            machines.append(AT_RANDOM)
        if not machines:
            print("and it was made on a machine like this one, or in portable arithmetic: it should not")
            return 1
        print(f"it was made on {_made_on(machines)}, where bits may differ", "", sep="\n")
        folders = (root / f"results/{exp}" for root in (here, clone))
        ours, theirs = (Side.read(folder, label) for folder, label in zip(folders, ("here", "again"), strict=True))
        told, code = verdict(ours, theirs, tolerance)
    print(f"\n{told}")
    _tell(beside_lock(exp, here))
    return code


def verdict(here: Side, again: Side, tolerance: float) -> tuple[str, int]:
    """Compare a rebuild whose bits differ and print the differences; returns the conclusion and the exit code."""
    content = measure(here, again)
    print(summary(content, color=False))
    if differ(content, tolerance):
        return f"further apart than a tolerance of {tolerance:g}, or not comparable", 1
    return f"the same within a tolerance of {tolerance:g}", 0


def _tell(line: str | None) -> None:
    if line:
        print(line)


def _record(node: Node, root: Path) -> Record:
    record = recorded(node, root)
    if record is None:
        raise ProvenanceError(f"{root / node.provenance}: is missing, or no record; run: snakemake {node.target}")
    return record


def _other(here: Path, there: Path) -> list[str]:
    """Return the keys in which two machines differ; `UNKNOWN` if the one of `here` is not recorded."""
    if not here.is_file():
        return [UNKNOWN]
    one, two = (read_json(path, kind=object) for path in (here, there))
    return [key for key in sorted(one | two) if key != "commit" and one.get(key) != two.get(key)]


def at_random(here: Path, exp: str) -> bool:
    """Whether `exp` was trained on a GPU without train.deterministic."""
    noted = here / Node("train", exp).machine
    on_gpu = noted.is_file() and read_json(noted).get("gpu") is not None
    return on_gpu and not resolve(exp, here).train.deterministic


def _made_on(machines: list[str]) -> str:
    """Describe the machine that made it, as far as it is known."""
    known = [key for key in machines if key not in (UNKNOWN, AT_RANDOM)]
    if known:
        return f"a machine with another {', '.join(known)}"
    return "a machine of which nothing is noted here" if UNKNOWN in machines else AT_RANDOM
