"""What a stage says of itself, and the artefacts that stages make. Start from `Stage`."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pisft.config.simulators import SimulatorConfig
from pisft.errors import PisftError
from pisft.names import shown, why_no_name
from pisft.stages.source import Source

STAGES: dict[str, Stage[Any]] = {}  # by name; the package fills it in


class ProvenanceError(PisftError):
    """An artefact without a record of what it was made from."""


@dataclass(frozen=True)
class Output:
    """A file or folder that a stage writes. `path` is relative to the project's root, with `{name}` in it; `what` is
    its line in results/README.md or data/README.md; `dvc` is how DVC versions it, None for not at all; `when` tells
    from the stage's subject whether it is written (None: always)."""

    path: str
    what: str
    dvc: Literal["out", "metric", "plot"] | None = "out"
    when: Callable[[Any], bool] | None = None
    axes: tuple[str, str] = ("", "")  # columns of a plot: x, y


class Node(NamedTuple):
    """One artefact: the stage that makes it, and the name of what it is of (an experiment, a dataset, …)."""

    stage: str
    name: str

    @property
    def definition(self) -> Stage[Any]:
        """The stage itself."""
        return STAGES[self.stage]

    @property
    def target(self) -> str:
        """The file that is asked for, relative to the project's root."""
        return self.definition.target.format(name=self.name)

    @property
    def folder(self) -> str:
        """The folder that the target lies in."""
        return self.target.rpartition("/")[0]

    @property
    def provenance(self) -> str:
        """The file that records what the artefact was made from; written last."""
        return self.definition.record.format(name=self.name)

    @property
    def machine(self) -> str:
        """The file that records on what machine it was made: part of no key and of no diff."""
        return "machine".join(self.provenance.rsplit("provenance", 1))


class Stage[Subject](ABC):
    """One step of the graph. A subclass says everything about it in one place; its docstring is the stage's summary.

    The subject of an artefact is what the configuration says of its name: a `Resolved` experiment, a dataset's origin.
    """

    name: ClassVar[str] = ""  # of the rule (rules/<name>.smk), of the script (scripts/<name>.py) and in every record
    outputs: ClassVar[tuple[Output, ...]] = ()  # the first is the target
    record: ClassVar[str] = ""  # path of the record of provenance
    named: ClassVar[str] = "an experiment"  # what the name of an artefact names, in messages
    pattern: ClassVar[str] = "[^/]+"  # of that name, in the target's path
    hashes_in_target: ClassVar[bool] = False  # the target is JSON that also holds what it was made from
    verified_by_readers: ClassVar[bool] = False  # whoever opens it compares its files with the list in the target
    is_page: ClassVar[bool] = False  # it shows what its parents were made from, and takes seconds
    of_experiment: ClassVar[bool] = False  # of one experiment, whose config.json it is built from
    locked: ClassVar[bool] = True  # one build at a time; training has a lease of its own

    @property
    def target(self) -> str:
        """The path of the file that is asked for, with `{name}` in it."""
        return self.outputs[0].path

    @property
    def script(self) -> str:
        """The file in scripts/ that builds it."""
        return f"{self.name}.py"

    def check_name(self, name: str) -> None:
        """Raise `ProvenanceError` unless each part of `name` may be a folder's."""
        check_part(name, self.named)

    @staticmethod
    def read(name: str, root: Path) -> Any:
        """The subject as the configuration files have it now; by default the name itself."""
        return name

    def built_from(self, name: str, root: Path) -> Subject:
        """The subject that a build takes: an experiment's is its config.json. Raises `PisftError`."""
        return self.read(name, root)

    def parents(self, subject: Subject) -> list[Node]:
        """The artefacts that it is made from, whose keys are part of its key."""
        return []

    def configuration(self, name: str) -> list[Node]:
        """The artefact that holds its configuration, where one does."""
        return []

    def shortcuts(self, subject: Subject) -> list[Node]:
        """Artefacts that make building it faster and are part of no key."""
        return []

    @abstractmethod
    def slice(self, subject: Subject) -> dict[str, Any]:
        """The part of the configuration that its result depends on, as plain JSON values.

        A value that is missing here can change without a rerun; one too many reruns what need not be.
        """

    def simulator(self, subject: Subject) -> SimulatorConfig | None:
        """The simulator that it runs, whose code and packages are part of its key."""
        return None

    def sources(self, subject: Subject, root: Path) -> dict[str, Source]:
        """Files and folders that it is made from and no stage makes, by the name of their pin."""
        return {}

    def rebuilt(self, subject: Subject) -> bool:
        """Whether `make verify EXP=` makes it again; what comes from outside is taken as it is."""
        return True

    def cost(self, subject: Subject) -> str | None:
        """What a person should know of a build before it starts: GPUs, downloads."""
        return None

    def warning(self, subject: Subject) -> str | None:
        """Warnings of a dry run about what may be unintended."""
        return None

    def files(self, root: Path) -> list[str]:
        """Files of the project, besides code, whose content is part of its key."""
        return []

    def written(self, name: str, subject: Subject) -> list[Output]:
        """The outputs of one artefact, their paths filled in."""
        return [
            replace(output, path=output.path.format(name=name))
            for output in self.outputs
            if output.when is None or output.when(subject)
        ]


def check_part(part: str, named: str) -> None:
    """Raise `ProvenanceError` unless `part` may be the name of what is `named`."""
    if reason := why_no_name(part):
        raise ProvenanceError(f"{shown(part)} cannot name {named}: {reason}")


def check_name(node: Node) -> None:
    """Raise `ProvenanceError` unless each part of the name of `node` may be a folder's."""
    node.definition.check_name(node.name)


@cache
def _cached(read: Callable[[str, Path], Any], name: str, root: Path) -> Any:
    return read(name, root)


def subject(node: Node, root: Path = Path()) -> Any:
    """What the configuration says of `node` now, read once a process for all stages that read it alike."""
    return _cached(node.definition.read, node.name, root)


def node_of(target: str) -> Node:
    """The artefact whose file is `target`, a path relative to the root; raises `ProvenanceError`."""
    for name, stage in STAGES.items():
        pattern = re.escape(stage.target).replace(re.escape("{name}"), f"({stage.pattern})")
        if match := re.fullmatch(pattern, target):
            node = Node(name, match[1])
            check_name(node)
            return node
    known = ", ".join(stage.target.replace("{name}", "<name>") for stage in STAGES.values())
    raise ProvenanceError(f"{shown(target)}: is not an artefact; expected one of {known}")
