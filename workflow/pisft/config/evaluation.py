"""How a policy is evaluated, and what others report of the same."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from pisft.config.base import Strict


class OpenLoop(Strict):
    """Flow loss and action error on this many held-out episodes (all, if there are fewer); with several
    datasets, taken from each in turn."""

    episodes: PositiveInt = 50


class ClosedLoop(Strict):
    """Rollouts. The episodes of a task run on `episodes_per_task` seeds from the named range, from `seed` on."""

    simulator: str = Field(description="config/simulators/")
    suites: list[str] = Field(min_length=1)
    episodes_per_task: PositiveInt
    replan_steps: PositiveInt = Field(description="actions of a chunk that are executed before the next inference")
    batch_size: PositiveInt = Field(description="episodes that share each inference; part of the protocol")
    seeds: str = "testing"
    seed: NonNegativeInt = 0


class Eval(Strict):
    """What eval.json holds."""

    checkpoint: Literal["last", "best"] | PositiveInt = Field(
        default="last",
        description="the weights in the checkpoint: of the last step, of the least val_loss, or of a saved step",
    )
    open_loop: OpenLoop = OpenLoop()
    closed_loop: ClosedLoop | None = None


Rate = Annotated[float, Field(ge=0, le=1)]


class Published(Strict):
    """What others report for the same protocol, to be shown beside ours."""

    source: str = Field(description="where they are reported")
    episodes: PositiveInt | None = Field(default=None, description="of each suite; without it no interval is shown")
    suites: dict[str, Rate] = Field(default={}, description="suite → success rate")
    average: Rate | None = Field(default=None, description="the mean success over all suites")
    average_length: NonNegativeFloat | None = Field(default=None, description="of chains of tasks, as CALVIN counts")
    others: dict[str, dict[str, Rate]] | None = Field(
        default=None,
        description="what else is reported of the same: source → suite → success rate, of as many episodes",
    )

    def each(self) -> list[Published]:
        """Return one `Published` for each source, this one first."""
        others = (self.others or {}).items()
        return [self, *(Published(source=source, episodes=self.episodes, suites=rates) for source, rates in others)]
