"""Building an artefact so that its record is true. Start from `building(node)`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pisft.arithmetic import Arithmetic, arithmetic, on_cpu
from pisft.canonical import digest, file_facts, read_json, write_json
from pisft.lease import PATIENCE_S, held
from pisft.provenance.graph import made_from
from pisft.provenance.key import ingredients
from pisft.provenance.machine import machine
from pisft.provenance.record import previous, recorded, unrecorded
from pisft.provenance.verified import verify
from pisft.records.base import facts_of
from pisft.records.provenance import Ingredients, Record
from pisft.stages import Node, ProvenanceError, check_name


@dataclass
class Build:
    """A build under way: what it is made from, and to be filled in: its files, and what another process computed with,
    where one did."""

    ingredients: Ingredients
    outputs: list[Path] = field(default_factory=list)
    uv_lock: str | None = None
    arithmetic: Arithmetic | None = None

    @property
    def key(self) -> str:
        """Of what is being built."""
        return self.ingredients.key

    @property
    def fingerprint(self) -> str:
        """The name of a training run: its key but for how long it is and which weights are taken, so that a longer run
        resumes a shorter one. Only a run that looks for the best weights keeps them, so it is another; and so is one
        in another arithmetic."""
        config = dict(self.ingredients.config)
        config["chosen"] = "best" if config["chosen"] == "best" else None
        config["train"] = {name: value for name, value in config["train"].items() if name != "steps"}
        made_from = self.ingredients.model_dump(mode="json", exclude={"key", "outside"})
        return digest(made_from | {"config": config, "arithmetic": on_cpu()})


def planned(node: Node, root: Path = Path()) -> Build:
    """The build of `node` from the configuration, code and parents that are there now; nothing is written."""
    check_name(node)
    of = node.definition.built_from(node.name, root)
    keys = {}
    for parent in node.definition.parents(of):
        record = recorded(parent, root)
        if record is None:
            raise ProvenanceError(f"{unrecorded(parent, root)}; run: snakemake {parent.target}")
        keys[parent.target] = record.key
    lock = root / "uv.lock"
    return Build(ingredients(node, of, keys, root), uv_lock=file_facts(lock)["sha256"] if lock.is_file() else None)


@contextlib.contextmanager
def building(node: Node, root: Path = Path()) -> Iterator[Build]:
    """Build `node` inside: fill in `outputs`, and the record is written when the block ends well.

    Ingredients are taken at the start, from the configuration, code and parents that this process really uses.
    Parents are verified to the byte. Where another process builds the artefact, it is waited for a little. The old
    record steps aside first, so that an artefact half replaced is never taken for a whole one. Where the stage says
    so, the target also gets their digests, so that it tells where it comes from when it is handed on alone.
    """
    planned(node, root)  # what cannot be built is refused before anything is written
    path = root / node.provenance
    stage = node.definition
    lease = held(path.with_suffix(".lease"), PATIENCE_S) if stage.locked else contextlib.nullcontext()
    with lease:
        build = planned(node, root)
        for parent in made_from(node, root):
            if record := recorded(parent, root):
                verify(parent, record.outputs, root)
            elif (root / parent.provenance).is_file():
                raise ProvenanceError(
                    f"{parent.provenance}: is not a readable record; build its artefact again: remove it, then "
                    f"snakemake {parent.target}"
                )
        if path.is_file():
            os.replace(path, previous(path))
        yield build
        if stage.hashes_in_target:
            content = read_json(root / node.target)
            origin = build.ingredients.made_from(build.uv_lock).model_dump(mode="json")
            write_json(root / node.target, content | {"provenance": origin})
        files = {path.relative_to(root).as_posix(): facts_of(path) for path in sorted(build.outputs)}
        used = build.arithmetic or arithmetic()
        Record(**dict(build.ingredients), outputs=files, uv_lock=build.uv_lock, arithmetic=used).write(path)
        write_json(root / node.machine, machine(root))
        previous(path).unlink(missing_ok=True)
