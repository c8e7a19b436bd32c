"""MetaWorld with faults, for processes that simulate: they find this file by PYTHONPATH."""

from pathlib import Path
from typing import ClassVar, Literal

from pisft.config.simulators.metaworld import MetaworldConfig
from pisft.simulators.metaworld import Metaworld


class FaultyConfig(MetaworldConfig):
    """`notes` is a file that outlives processes: what the simulator remembers and must not."""

    implementation: ClassVar[str] = "faulty_simulator:Faulty"
    fault: Literal["raises once", "raises", "drifts"]
    notes: Path


class Faulty(Metaworld):
    """Raises in the middle of the episodes of seed 12, or succeeds later in each episode than in the one before."""

    def reset(self, task, seed):
        super().reset(task, seed)
        self.seed = seed
        if self.config.fault == "drifts":
            with self.config.notes.open("a") as file:
                file.write(".")

    def act(self, action):
        config = self.config
        if config.fault == "drifts":
            super().act(action)
            return self.steps >= config.notes.stat().st_size
        if self.seed == 12 and self.steps == 7 and not (config.fault == "raises once" and config.notes.exists()):
            config.notes.touch()
            raise RuntimeError("the joints exploded")
        return super().act(action)
