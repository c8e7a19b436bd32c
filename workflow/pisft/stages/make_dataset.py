"""The stage that brings a dataset to data/<dataset>/."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, override

from pisft.config import load_dataset
from pisft.config.dataset import GeneratedDataset, HubDataset, LocalDataset, SyntheticDataset
from pisft.config.files import load_simulator
from pisft.config.simulators import SimulatorConfig
from pisft.stages.base import Output, Stage
from pisft.stages.experiment import simulator_slice
from pisft.stages.source import Source


class Dataset(NamedTuple):
    """Where a dataset comes from, and the simulator that records it, if one does."""

    origin: Any
    simulator: SimulatorConfig | None


def read(name: str, root: Path) -> Dataset:
    """What config/datasets/<name>.yaml says."""
    origin, simulator = load_dataset(name, root).origin, None
    if isinstance(origin, GeneratedDataset):
        simulator = load_simulator(origin.simulator, root, f"config/datasets/{name}.yaml", "simulator")
    return Dataset(origin, simulator)


class MakeDataset(Stage[Dataset]):
    """Records a dataset in a simulator, fetches it from the hub, links a local folder, or makes it up."""

    name = "make_dataset"
    outputs = (
        Output("data/{name}/manifest.json", "origin, counts, features, and the size and sha256 of every file"),
        Output(
            "data/{name}/lerobot",
            "a LeRobot v3.0 dataset (for `source: local` a link to the folder)",
            when=lambda dataset: not isinstance(dataset.origin, LocalDataset),
        ),
    )
    record = "data/{name}/provenance.json"
    named = "a dataset"
    hashes_in_target = True
    verified_by_readers = True
    read = staticmethod(read)

    @override
    def slice(self, subject: Dataset) -> dict[str, Any]:
        origin = subject.origin
        if isinstance(origin, LocalDataset):  # pinned by what it holds, not by where it lies
            return {"source": "local"}
        content = {"origin": origin.model_dump(mode="json")}
        if subject.simulator is not None:
            content["simulator"] = simulator_slice(subject.simulator, origin.tasks, origin.seeds)
        return content

    @override
    def rebuilt(self, subject: Dataset) -> bool:
        return isinstance(subject.origin, GeneratedDataset | SyntheticDataset)

    @override
    def cost(self, subject: Dataset) -> str | None:
        origin = subject.origin
        return f"downloads {origin.repo} at {origin.revision}" if isinstance(origin, HubDataset) else None

    @override
    def simulator(self, subject: Dataset) -> SimulatorConfig | None:
        return subject.simulator

    @override
    def sources(self, subject: Dataset, root: Path) -> dict[str, Source]:
        origin = subject.origin
        if not isinstance(origin, LocalDataset):
            return {}
        return {"files": Source(origin.path or origin.name or "", root / origin.folder())}
