"""The key of an artefact: what it would be made from now. Start from `expected(node)`.

A key is a hash of the stage's slice of the configuration, the code of its script, the versions of the packages that
matter, the keys of what it is made from and the pins of its data. Modification times, `.snakemake/` and git play no
part.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pisft.canonical import digest, file_facts
from pisft.provenance.code import code_hashes, of_simulator, package_versions
from pisft.provenance.record import recorded
from pisft.records.provenance import Ingredients
from pisft.simulators.versions import versions
from pisft.stages import Node
from pisft.stages.base import subject
from pisft.stages.source import Source

ABSENT = "absent"  # pin of what is not there


@cache
def expected(node: Node, root: Path = Path()) -> Ingredients:
    """What `node` would be made from now."""
    of = subject(node, root)
    keys = {parent.target: expected(parent, root).key for parent in node.definition.parents(of)}
    return ingredients(node, of, keys, root)


def ingredients(node: Node, of: Any, keys: dict[str, str], root: Path) -> Ingredients:
    """What `node` is made from, by the subject `of` and the `keys` of its parents, path → key."""
    stage = node.definition
    script, simulator = root / "scripts" / stage.script, stage.simulator(of)
    outside = stage.sources(of, root)
    pins = {name: _pin(node, name, source, root) for name, source in outside.items()}
    pins |= {name: file_facts(root / name)["sha256"] for name in stage.files(root)}
    content = {
        "stage": node.stage,
        "config": stage.slice(of),
        "code": code_hashes(script, *(of_simulator(simulator) if simulator else ())),
        "packages": package_versions(script) | (versions(simulator) if simulator else {}),
        "parents": keys,
        "pins": pins,
    }
    written = {name: source.written for name, source in outside.items()}
    return Ingredients(**content, key=digest(content), outside=written)


def unseen(node: Node, root: Path = Path()) -> list[str]:
    """Sources of `node` that are not here, so that nobody can tell whether they are what they were."""
    sources = node.definition.sources(subject(node, root), root)
    return [source.written for source in sources.values() if not source.path.exists()]


def differences(record: Ingredients, now: Ingredients) -> list[str]:
    """What differs between two sets of ingredients, one line each."""
    lines = []
    before, after = _flat(record.config), _flat(now.config)
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            lines.append(f"config {key}: {_short(before.get(key))} → {_short(after.get(key))}")
    for kind in ("code", "packages", "parents", "pins"):
        old, new = getattr(record, kind), getattr(now, kind)
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                detail = f": {old.get(key)} → {new.get(key)}" if kind == "packages" else " changed"
                lines.append(f"{kind} {key}{detail}")
    return lines


def _pin(node: Node, name: str, source: Source, root: Path) -> str:
    """The hash of what `source` holds. DVC does not carry it along: where it is not here, the pin is the one of the
    record, unless the configuration has named another source since."""
    if (listing := source.listing()) is not None:
        return digest(listing)
    record = recorded(node, root)
    known = record is not None and record.outside.get(name) == source.written
    return record.pins.get(name, ABSENT) if record and known else ABSENT


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(content, dict):
        pairs = content.items()
    elif isinstance(content, list):
        pairs = enumerate(content)
    else:
        return {prefix: content}
    flat = {}
    for key, value in pairs:
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _short(value: Any) -> str:
    return "absent" if value is None else str(value)
