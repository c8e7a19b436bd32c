"""Normalisation statistics and the report on their health, computed and written. Start from `write_norm_stats`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.statistics.health import health, lines
from pisft.data.statistics.measure import measure
from pisft.data.statistics.norm_stats import save, widen
from pisft.data.statistics.normalise import NormStats
from pisft.data.transforms.format import Format
from pisft.inspection.agreement import contradictions


def write_norm_stats(
    folder: Path,
    datasets: Sequence[tuple[LeRobotData, list[int] | None]],
    fmt: Format,
    workers: int,
    min_std: float = 0.0,
    min_range: float = 0.0,
    base: NormStats | None = None,
) -> list[Path]:
    """Write norm_stats.json, norm_stats.report.json and norm_stats.report.png to `folder`, print what looks wrong, and
    return the three paths.

    They are over the given episodes of each dataset, or all for None; with `base`, its statistics are written instead.
    """
    from pisft.report.health import draw  # here, since each worker imports this module and needs no matplotlib

    measured = measure(datasets, fmt, fmt.action_horizon, workers, base)
    features = datasets[0][0].features
    names = {"state": fmt.state_names(features), "actions": fmt.action_names(features)}
    warnings = _contradicted(datasets, fmt)
    report = health(measured, names, fmt.config.normalisation, min_std, min_range, base, warnings)
    stats, told, figure = (folder / f"norm_stats{suffix}" for suffix in (".json", ".report.json", ".report.png"))
    report.write(told)
    draw(report, figure)
    save(base or widen(measured, min_std, min_range), stats)
    print(stats, _relative(fmt, names["actions"]), *lines(report), sep="\n")
    return [stats, told, figure]


def _contradicted(datasets: Sequence[tuple[LeRobotData, list[int] | None]], fmt: Format) -> list[str]:
    """Return what the format declares about its actions and the data contradict, by dataset if there are several."""
    found: dict[str, None] = {}
    for data, _ in datasets:
        of = f"{data.root.parent.name}: " if len(datasets) > 1 else ""
        found |= dict.fromkeys(of + line for line in contradictions(data, fmt))
    return list(found)


def _relative(fmt: Format, names: list[str]) -> str:
    """Return in words which action dims have statistics of changes relative to the state."""
    dims = set(fmt.relative_dims)
    parts = {True: [], False: []}
    for dim, name in enumerate(names):
        if not name.startswith("padding_"):
            parts[dim in dims].append(name)
    told = {key: ", ".join(part) or "none" for key, part in parts.items()}
    return f"actions relative to the state: {told[True]}; as they are: {told[False]}"
