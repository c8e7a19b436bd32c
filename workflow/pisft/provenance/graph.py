"""The artefacts, what each is made from, and the key that says whether one on disk is what would be made now.

A key is a hash of the stage's slice of the configuration, the code of its script, the versions of the packages that
matter, the keys of what it is made from and the pins of its data. `expected(node)` computes it for the present
configuration and code; `recorded(node)` reads what an artefact was in fact made from (its provenance file); `state`
compares the two. Modification times, `.snakemake/` and git play no part. Building goes through `building`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pisft.canonical import file_facts, files_below, write_json
from pisft.config import load_dataset, load_paper, read_resolved, resolve, sweep_members
from pisft.config.dataset import GeneratedDataset
from pisft.config.experiment import Resolved, load_model, load_simulator
from pisft.config.model import BaseWeights
from pisft.lease import PATIENCE_S, held
from pisft.provenance import slices
from pisft.provenance.code import code_hashes, of_simulator, package_versions
from pisft.provenance.machine import machine
from pisft.provenance.outside import Source, sources
from pisft.provenance.stages import OF_DATASETS, ROOTS, SETS, STAGES, Node, ProvenanceError, check_name, node_of
from pisft.provenance.verified import verify
from pisft.simulators.versions import versions

ABSENT = "absent"  # pin of what is not there
SMALL = 1 << 18  # bytes of a file that is hashed whenever freshness is asked for, as every JSON is
MANIFESTS = ("dataset", "checkpoint", "eval")  # stages whose target is a JSON that says what it was made from
INGREDIENTS = ("stage", "config", "code", "packages", "parents", "pins")  # which a key is the hash of
OF_NO_EXPERIMENT = ROOTS + OF_DATASETS + SETS


def digest(content: Any) -> str:
    """sha256 of the canonical JSON of `content`."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def parents(node: Node, exp: Resolved | None, root: Path = Path()) -> list[Node]:
    """The artefacts that `node` is made from."""
    if node.stage in OF_DATASETS:
        return [Node("dataset", node.name.split("/")[0])]
    if node.stage in SETS:
        return [Node(stage, name) for name in experiments(node, root) for stage in STAGES[node.stage].parents]
    found = []
    for stage in STAGES[node.stage].parents:
        if stage == "dataset":
            found += [Node("dataset", use.name) for use in exp.datasets]
        elif stage == "base":
            found += _base(exp)
        elif stage == "base_stats":
            if exp.norm_stats.source == "base" and exp.model.base.experiment is not None:
                found.append(Node("norm_stats", exp.model.base.experiment))
        else:
            found.append(Node(stage, node.name))
    return found


def experiments(node: Node, root: Path = Path()) -> list[str]:
    """Those that a paper's or a sweep's table or a diff is of."""
    if node.stage == "diff":
        return list(dict.fromkeys(node.name.split("..", 1)))
    return list(load_paper(node.name, root).experiments if node.stage == "paper" else sweep_members(node.name, root))


def _base(exp: Resolved) -> list[Node]:
    """The artefact that the base weights of `exp` are: another experiment's checkpoint, or converted ones."""
    if not isinstance(exp.model.base, BaseWeights):
        return []
    if exp.model.base.experiment is not None:
        return [Node("checkpoint", exp.model.base.experiment)]
    return [Node("base", exp.model_name)] if exp.model.base.orbax is not None else []


@cache
def expected(node: Node, root: Path = Path()) -> dict[str, Any]:
    """What `node` would be made from now, with its key."""
    exp = None if node.stage in OF_NO_EXPERIMENT else resolved(node.name, root)
    keys = {parent.target: expected(parent, root)["key"] for parent in parents(node, exp, root)}
    return _ingredients(node, exp, keys, root)


def recorded(node: Node, root: Path = Path()) -> dict[str, Any] | None:
    """What `node` on disk was made from, or None where no (readable) record is.

    While a build is under way, or after one failed, the previous record stands for as long as each file is,
    to the byte, what it says.
    """
    path = root / node.provenance
    record = _read_record(path)
    if record is None:
        record = _read_record(previous(path))
        if record is not None and any(_altered(root / file, facts) for file, facts in record["outputs"].items()):
            return None
    return record


def records(folder: Path) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Each record of provenance below `folder`, and the files that it lists, path → {"size", "sha256"}; None where it
    is no JSON. Where a build did not end, the previous record. What others have by such a name is left out."""
    suffixes = ("provenance.json", "provenance.previous.json")
    paths = {
        path
        for path in files_below(folder)
        if path.name.endswith(suffixes) or (path.parent.name == "provenance" and path.suffix == ".json")
    }
    for path in sorted(paths - {previous(path) for path in paths}):
        if (record := _read_record(path)) is not None:
            yield path, record["outputs"]
        elif not _is_json(path):
            yield path, None


def damage(outputs: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What is wrong with each file of a record's `outputs` that is not, to the byte, what it was."""
    for path, facts in outputs.items():
        if not Path(path).is_file():
            yield f"{path}: is missing"
        elif _altered(Path(path), facts):
            yield f"{path}: changed; its sha256 was {facts['sha256'][:12]}…"


def state(node: Node, root: Path = Path()) -> str | None:
    """None where `node` is fresh, else why it is not, in a few words."""
    if not (root / node.target).is_file():
        return "missing"
    record = recorded(node, root)
    if record is None:
        return "no record of what it was made from"
    for path, facts in record["outputs"].items():
        try:
            size = (root / path).stat().st_size
        except OSError:
            return f"{path} is missing"
        if size != facts["size"]:
            return f"{path} has {size} bytes, not {facts['size']}"
        if (size <= SMALL or path.endswith(".json")) and _altered(root / path, facts):
            return f"{path} was changed by hand: its sha256 is not what was recorded"
    now = expected(node, root)
    if record["key"] != now["key"]:
        return "; ".join(differences(record, now)) or "made from something else"
    return None


def by_size(node: Node, root: Path = Path()) -> dict[str, int]:
    """The files of `node` that `state` looked at by their size alone, path → bytes."""
    record = recorded(node, root)
    outputs = record["outputs"].items() if record else ()
    return {path: facts["size"] for path, facts in outputs if facts["size"] > SMALL and not path.endswith(".json")}


def unseen(node: Node, root: Path = Path()) -> list[str]:
    """What `node` was made from that lies outside the graph and is not here, so that nobody can tell whether it is
    what it was."""
    exp = None if node.stage in OF_NO_EXPERIMENT else resolved(node.name, root)
    return [source.written for source in sources(node, exp, root).values() if not source.path.exists()]


def lineage(node: Node, root: Path = Path()) -> list[Node]:
    """`node` and all that it is made from, what comes first first."""
    if node.stage in OF_NO_EXPERIMENT:
        exp, order = None, []
    else:
        exp, order = resolved(node.name, root), [Node("config", node.name)]
    for parent in parents(node, exp, root):
        order += [n for n in lineage(parent, root) if n not in order]
    return order if node in order else [*order, node]


def accept(node: Node, root: Path = Path()) -> bool:
    """Record that `node`, whose code changed, is what the new code would make; True where there was anything to do.

    Call it along a `lineage`, since a parent's new key is part of the child's. One that is not here, such as data that
    were left elsewhere, is passed over. Raises `ProvenanceError` where something besides code and parents' keys
    differs, or the artefact is damaged.
    """
    reason = state(node, root)
    if reason is None or not (root / node.target).is_file():
        return False
    record, now = recorded(node, root), expected(node, root)
    if record is None or record["key"] == now["key"]:
        if record and not all((root / path).is_file() for path in record["outputs"]):
            return False
        raise ProvenanceError(f"{node.target}: cannot be accepted: {reason}")
    equivalent = {
        f"parents {parent} changed"
        for parent, key in record["parents"].items()
        if key in (recorded(node_of(parent), root) or {}).get("accepted_from", [])
    }
    refused = [line for line in differences(record, now) if not line.startswith("code ") and line not in equivalent]
    if refused:
        raise ProvenanceError(f"{node.target}: cannot be accepted, since not only code changed: {'; '.join(refused)}")
    accepted = {"accepted_from": [*record.get("accepted_from", []), record["key"]]}
    write_json(root / node.provenance, now | {"outputs": record["outputs"]} | accepted)
    return True


def differences(record: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two sets of ingredients, one line each."""
    lines = []
    before, after = _flat(record.get("config", {})), _flat(now["config"])
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            lines.append(f"config {key}: {_short(before.get(key))} → {_short(after.get(key))}")
    for kind in ("code", "packages", "parents", "pins"):
        old, new = record.get(kind, {}), now[kind]
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                detail = f": {old.get(key)} → {new.get(key)}" if kind == "packages" else " changed"
                lines.append(f"{kind} {key}{detail}")
    return lines


@dataclass(frozen=True)
class Build:
    """A build under way: what it is made from, and its files, to be filled in."""

    ingredients: dict[str, Any]
    outputs: list[Path] = field(default_factory=list)
    uv_lock: str | None = None

    @property
    def key(self) -> str:
        """Of what is being built."""
        return self.ingredients["key"]

    @property
    def hashes(self) -> dict[str, str | None]:
        """What a manifest says of where it comes from: digests of the configuration, the code and the data it was
        made from, the key over all of them, and the lock of the environment (no part of the key)."""
        of = {name: digest(self.ingredients[name]) for name in ("config", "code", "packages")}
        data = digest([self.ingredients["parents"], self.ingredients["pins"]])
        return of | {"data": data, "key": self.key, "uv_lock": self.uv_lock}

    @property
    def fingerprint(self) -> str:
        """Of a training run: its key but for how long it is and which weights are taken, so that it can go on.

        Only a run that looks for the best weights keeps them, so it is another.
        """
        config = dict(self.ingredients["config"])
        config["chosen"] = "best" if config["chosen"] == "best" else None
        config["train"] = {name: value for name, value in config["train"].items() if name != "steps"}
        return digest(self.ingredients | {"key": None, "outside": None, "config": config})


def planned(node: Node, root: Path = Path()) -> Build:
    """The build of `node` from the configuration, code and parents that are there now; nothing is written."""
    check_name(node)
    exp = None
    if node.stage == "config":
        exp = resolve(node.name, root)
    elif node.stage not in OF_NO_EXPERIMENT:
        exp = read_resolved(root / Node("config", node.name).target)
    keys = {}
    for parent in parents(node, exp, root):
        record = recorded(parent, root)
        if record is None:
            raise ProvenanceError(f"{_unrecorded(parent, root)}; run: snakemake {parent.target}")
        keys[parent.target] = record["key"]
    lock = root / "uv.lock"
    return Build(_ingredients(node, exp, keys, root), uv_lock=file_facts(lock)["sha256"] if lock.is_file() else None)


@contextlib.contextmanager
def building(node: Node, root: Path = Path()) -> Iterator[Build]:
    """Build `node` inside: fill in `outputs`, and the record is written when the block ends well.

    Ingredients are taken at the start, from the configuration, code and parents that this process really uses.
    What it is made from is verified to the byte. Another process that builds it is waited for a little. The old record
    steps aside first, so that an artefact half replaced is never taken for a whole one. A manifest, a checkpoint.json
    and an eval.json also get the `hashes` themselves, so that they say where they come from when they are handed on
    alone.
    """
    planned(node, root)  # what cannot be built is refused before anything is written
    path = root / node.provenance
    # of training, whoever waits for a job builds, and so does the job: the lease is the trainer's
    lease = contextlib.nullcontext() if node.stage == "checkpoint" else held(path.with_suffix(".lease"), PATIENCE_S)
    with lease:
        build = planned(node, root)
        for parent in made_from(node, root):
            if record := recorded(parent, root):
                verify(parent, record, root)
            elif (root / parent.provenance).is_file():
                raise ProvenanceError(
                    f"{parent.provenance}: is no record that can be read; build again what it is of: remove it, then "
                    f"snakemake {parent.target}"
                )
        if path.is_file():
            os.replace(path, previous(path))
        yield build
        if node.stage in MANIFESTS:
            content = json.loads((root / node.target).read_text())
            write_json(root / node.target, content | {"provenance": build.hashes})
        files = {path.relative_to(root).as_posix(): file_facts(path) for path in sorted(build.outputs)}
        write_json(path, build.ingredients | {"outputs": files, "uv_lock": build.uv_lock})
        write_json(root / node.machine, machine(root))
        previous(path).unlink(missing_ok=True)


def made_from(node: Node, root: Path = Path()) -> list[Node]:
    """The artefacts that must lie on disk before `node` can be built: its configuration and its parents.

    And what makes building it faster, which is no part of its key: training reads frame stores.
    """
    if node.stage == "config":
        return []
    if node.stage in OF_NO_EXPERIMENT:
        return parents(node, None, root)
    exp = resolved(node.name, root)
    stores = frame_stores(exp) if node.stage == "checkpoint" and exp.cluster.frame_store else []
    return [Node("config", node.name), *parents(node, exp), *stores]


def frame_stores(exp: Resolved) -> list[Node]:
    """The frame stores that `exp` trains from: of each camera of each dataset, at the model's image size."""
    views = [f"{key}.{exp.model.image_size}" for key in exp.format.cameras.values()]
    return [Node("frames", f"{use.name}/frames/{view}") for use in exp.datasets for view in dict.fromkeys(views)]


def stamp(node: Node, fresh: bool, root: Path = Path()) -> str:
    """A file older than everything where `node` is fresh; where not, newer than it and with content never seen.

    The content counts because Snakemake takes an input whose checksum it knows for unchanged; and each stamp has a
    folder to itself because it lists a folder once and then takes for absent what is written there later.
    """
    path = root / f".snakemake/pisft/{node.stage}/{node.name}/stamp"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("" if fresh else str(time.time_ns()))
    if fresh:
        os.utime(path, (0, 0))
    elif (target := root / node.target).exists():
        newer = max(path.stat().st_mtime, target.stat().st_mtime + 1)
        os.utime(path, (newer, newer))
    return path.relative_to(root).as_posix()


@cache
def resolved(name: str, root: Path = Path()) -> Resolved:
    """The experiment as its files are now, read once a process."""
    return resolve(name, root)


def _ingredients(node: Node, exp: Resolved | None, keys: dict[str, str], root: Path) -> dict[str, Any]:
    stage = STAGES[node.stage]
    script = root / "scripts" / stage.script
    outside = sources(node, exp, root)
    pins = {name: _pin(node, name, source, root) for name, source in outside.items()}
    simulator = None
    if node.stage == "dataset":
        origin = load_dataset(node.name, root).origin
        if isinstance(origin, GeneratedDataset):
            simulator = load_simulator(origin.simulator, root, f"config/datasets/{node.name}.yaml", "simulator")
        config = slices.dataset(origin, simulator)
    elif node.stage == "base":
        config = slices.base(load_model(node.name, root))
        for name in ("dump.py", "uv.lock"):
            pins[f"envs/orbax/{name}"] = file_facts(root / "envs/orbax" / name)["sha256"]
    elif node.stage in OF_DATASETS:
        config = stage.slice(node.name.split("/")[-1])
    elif node.stage == "paper":
        paper = load_paper(node.name, root)
        config = stage.slice(paper, [resolved(name, root) for name in paper.experiments])
    elif node.stage == "sweep":
        config = stage.slice(sweep_members(node.name, root))
    elif node.stage == "diff":
        config = {}  # its parents say all
    else:
        config = stage.slice(exp)
        if node.stage == "eval" and exp.eval.closed_loop:
            simulator = exp.simulators[exp.eval.closed_loop.simulator]
    content = {
        "stage": node.stage,
        "config": config,
        "code": code_hashes(script, *(of_simulator(simulator) if simulator else ())),
        "packages": package_versions(script) | (versions(simulator) if simulator else {}),
        "parents": keys,
        "pins": pins,
    }
    written = {name: source.written for name, source in outside.items()}
    return content | {"key": digest(content), "outside": written}


def _pin(node: Node, name: str, source: Source, root: Path) -> str:
    """What `source` holds. DVC does not carry it along: where it is not here, it is taken for what it was when `node`
    was made from it, unless the configuration has named another since."""
    if (listing := source.listing()) is not None:
        return digest(listing)
    record = recorded(node, root)
    known = record is not None and record.get("outside", {}).get(name) == source.written
    return record["pins"].get(name, ABSENT) if known else ABSENT


def _unrecorded(node: Node, root: Path) -> str:
    """Why no record of `node` holds."""
    record = _read_record(previous(root / node.provenance))
    for path, facts in record["outputs"].items() if record else ():
        if _altered(root / path, facts):
            return f"{path}: is not what was recorded, and a later build of {node.target} did not end"
    return f"{node.target}: is missing or has no record of what it was made from; expected {node.provenance}"


def previous(path: Path) -> Path:
    """Where the record at `path` stands while a build is under way."""
    return path.with_suffix(".previous.json")


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or not {"key", "outputs"} <= record.keys():
        return None
    return record if record["key"] == digest({name: record.get(name) for name in INGREDIENTS}) else None


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return True


def _altered(path: Path, facts: dict[str, Any]) -> bool:
    try:
        return file_facts(path) != facts
    except OSError:
        return True


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
