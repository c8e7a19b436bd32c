"""Accepting that changed code makes the same results (a refactoring). Start from `compare`, then `accept`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from pisft.canonical import digest, file_facts, read_json
from pisft.config.smoke import SUFFIX
from pisft.git import git
from pisft.provenance.freshness import state
from pisft.provenance.graph import lineage
from pisft.provenance.key import differences, expected
from pisft.provenance.rebuild import fresh_clone, run_in
from pisft.provenance.record import recorded
from pisft.records.provenance import Accepted, Ingredients, Record
from pisft.stages import Node, ProvenanceError, node_of
from pisft.stages.base import subject

OF_CODE = ("provenance", "key")  # keys of a JSON target that say which code made it
REMEDY = "compare by hand what the two make, and say --unchecked"


def compare(target: Node, root: Path = Path()) -> dict[str, Accepted]:
    """Build the `~smoke` version of the experiments that `target` is made from by the code that is committed now, and
    by that of each commit that made something stale, and compare every file but pages.

    Returns the evidence for `accept`, by commit. Raises `ProvenanceError` where a file differs or there is nothing to
    compare.
    """
    stale = [
        node
        for node in lineage(target, root)
        if recorded(node, root) and state(node, root) and not _is_drawn_again(node, root)
    ]
    experiments = dict.fromkeys(node.name.removesuffix(SUFFIX) for node in stale if node.definition.of_experiment)
    if not experiments:
        raise ProvenanceError(f"{target.target}: no stage of an experiment is stale in it; {REMEDY}")
    goals = [Node("evaluate", name + SUFFIX) for name in experiments]
    commits = dict.fromkeys(_commit(node, root) for node in stale)
    with tempfile.TemporaryDirectory() as temporary:
        now = fresh_clone(Path(temporary) / "now", root)
        run_in(now, "snakemake", *(goal.target for goal in goals), "--quiet", "all")
        records = [recorded(node, now) for goal in goals for node in lineage(goal, now)]
        files = sorted({path for record in records if record for path in record.outputs})
        ours = {path: _content(now / path) for path in files}
        for commit in commits:
            before = fresh_clone(Path(temporary) / commit, root)
            git("checkout", "--quiet", commit, root=before)
            run_in(before, "snakemake", *(goal.target for goal in goals), "--quiet", "all")
            if different := [path for path in files if _content(before / path) != ours[path]]:
                raise ProvenanceError(
                    f"{target.target}: cannot be accepted: the code at {commit[:12]} and that of now make different "
                    f"{', '.join(different)}; build it again: snakemake {target.target}"
                )
    compared = {path: sha256 for path, sha256 in ours.items() if sha256}
    return {commit: Accepted(key="", commit=commit, compared=compared) for commit in commits}


def accept(node: Node, evidence: Mapping[str, Accepted] | None, root: Path = Path()) -> bool:
    """Record that `node`, whose code changed, is what the new code would make; True where there was anything to do.

    Call it along a `lineage`, since a parent's new key is part of the child's. `evidence` is that of `compare`; None
    records that nobody compared. What is not here, such as data that were left elsewhere, is passed over. So are pages,
    which are drawn again to show the evidence, unless something that they are drawn from is not here. Raises
    `ProvenanceError` where something besides code and parents' keys differs, or the artefact is damaged.
    """
    reason = state(node, root)
    if reason is None or not (root / node.target).is_file() or _is_drawn_again(node, root):
        return False
    record, now = recorded(node, root), expected(node, root)
    if record is None or record.key == now.key:
        if record and not all((root / path).is_file() for path in record.outputs):
            return False
        raise ProvenanceError(f"{node.target}: cannot be accepted: {reason}")
    equivalent = {
        f"parents {parent} changed" for parent, key in record.parents.items() if key in _earlier_keys(parent, root)
    }
    refused = [line for line in differences(record, now) if not line.startswith("code ") and line not in equivalent]
    if refused:
        raise ProvenanceError(f"{node.target}: cannot be accepted, since not only code changed: {'; '.join(refused)}")
    found = Accepted(key="") if evidence is None else evidence[_commit(node, root)]
    accepted = [*record.accepted, found.model_copy(update={"key": record.key})]
    ingredients = {name: getattr(now, name) for name in Ingredients.model_fields}
    kept = {name: getattr(record, name) for name in ("outputs", "uv_lock", "arithmetic")}
    new = Record(**ingredients, **kept, accepted=accepted)
    new.write(root / node.provenance)
    return True


def _is_drawn_again(node: Node, root: Path) -> bool:
    parents = node.definition.parents(subject(node, root))
    return node.definition.is_page and all((root / parent.target).is_file() for parent in parents)


def _earlier_keys(target: str, root: Path) -> set[str]:
    record = recorded(node_of(target), root)
    return {accepted.key for accepted in record.accepted} if record else set()


def _commit(node: Node, root: Path) -> str:
    """Return the commit whose code made `node`."""
    noted = root / node.machine
    commit = read_json(noted).get("commit") if noted.is_file() else None
    if commit is None or commit.endswith("+"):
        what = "code that was not committed" if commit else "code of an unrecorded commit"
        raise ProvenanceError(f"{noted}: commit: {node.target} was made by {what}; {REMEDY}")
    return commit


def _content(path: Path) -> str | None:
    """The hash of what a file says besides which code made it; None for a page, which shows the code, and for what is
    not there."""
    if path.suffix == ".html" or not path.is_file():
        return None
    if path.suffix == ".json":
        content = read_json(path, kind=object)
        return digest({k: v for k, v in content.items() if k not in OF_CODE} if isinstance(content, dict) else content)
    return file_facts(path)["sha256"]
