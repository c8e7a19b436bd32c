"""Success against training steps beside the validation loss, as a figure and a number: start from `figure`."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
from scipy.stats import spearmanr

from pisft.records.by_step import AtStep, Correlation
from pisft.report.figures import BLUE, MUTED, ORANGE, STYLE, blank, svg


def rank_correlation(found: Mapping[int, AtStep]) -> Correlation:
    """Spearman's of success and validation loss over the steps with both; None for fewer than three or no spread."""
    pairs = [(at.overall.success, at.val_loss) for at in found.values() if at.val_loss is not None]
    successes, losses = [success for success, _ in pairs], [loss for _, loss in pairs]
    spread = len(set(successes)) > 1 and len(set(losses)) > 1
    known = len(pairs) >= 3 and spread
    if not known:
        return Correlation(steps=len(pairs), spearman=None)
    statistic = spearmanr(successes, losses).statistic  # pyright: ignore[reportAttributeAccessIssue]  scipy's stubs
    return Correlation(steps=len(pairs), spearman=round(float(statistic), 6))


def figure(found: Mapping[int, AtStep]) -> str:
    """Draw the result of `pisft.evaluate.by_step.by_step` as SVG: success with 95 % intervals, and validation loss."""
    steps = sorted(found)
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(2.7)
        rates = [found[step].overall.success for step in steps]
        below = [rate - found[step].overall.wilson95[0] for step, rate in zip(steps, rates, strict=True)]
        above = [found[step].overall.wilson95[1] - rate for step, rate in zip(steps, rates, strict=True)]
        axes.errorbar(steps, rates, yerr=[below, above], color=BLUE, marker="o", ms=4, capsize=3, label="success, 95 %")
        axes.set_ylim(0, 1)
        axes.set_xlabel("step")
        axes.set_ylabel("success")
        losses = [(step, loss) for step in steps if (loss := found[step].val_loss) is not None]
        if losses:
            right = axes.twinx()
            right.grid(False)
            right.spines["right"].set_visible(True)
            right.spines["right"].set_color(MUTED)
            right.plot(
                *zip(*losses, strict=True), color=ORANGE, marker="s", ms=3, linewidth=1.2, label="held-out flow loss"
            )
            right.set_ylabel("held-out flow loss")
        figure.legend(frameon=False, ncols=2, loc="outside upper right")
        return svg(figure, "Success and held-out flow loss against the training step")
