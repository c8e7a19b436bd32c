"""success_by_step.json, as a type."""

from __future__ import annotations

from typing import ClassVar

from pisft.records.base import Part, Versioned
from pisft.records.evaluation import Rate


class AtStep(Part):
    """The success of the weights of one step, overall and by task, and the validation loss that was measured there."""

    overall: Rate
    tasks: dict[str, Rate]
    val_loss: float | None


class Correlation(Part):
    """Spearman's rank correlation of success and validation loss over `steps` steps; None where it means nothing."""

    steps: int
    spearman: float | None


class SuccessByStep(Versioned):
    """The weights that a run saved at several steps, evaluated on episodes of the simulator's range `seeds`."""

    name_of_file: ClassVar[str] = "success_by_step.json"
    remedy: ClassVar[str] = "run tools/evaluate_by_step.py again"

    seeds: str
    steps: dict[int, AtStep]
    val_loss: Correlation
