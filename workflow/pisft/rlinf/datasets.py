"""Translates RLinf's paths of training data. Start from `choose_datasets`."""

from __future__ import annotations

from typing import Any, NamedTuple

from pisft.config.extends import inherit
from pisft.rlinf.draft import Draft
from pisft.rlinf.places import hub_repo, is_placeholder
from pisft.rlinf.report import Report
from pisft.rlinf.source import Source

KEYS = ["data.train_data_paths", "data.data_paths", "data.data_path"]  # from its newest name to its oldest


class Entry(NamedTuple):
    """One of RLinf's datasets."""

    place: Any
    weight: Any = 1.0


def choose_datasets(source: Source, draft: Draft, report: Report, format_name: str) -> None:
    """Set the datasets: a file in config/datasets each; for a placeholder, those of the format's experiment."""
    key = next((key for key in KEYS if source.get(key) is not None), KEYS[0])
    entries = _entries(source.get(key))
    uses = []
    for number, (place, weight) in enumerate(entries, 1):
        if is_placeholder(place):
            found = _usual(source, draft, key, format_name)
            remark = f"a placeholder: as in experiment {format_name}"
        else:
            repo = hub_repo(source, key, str(place), known=draft.root / "config/datasets")
            content = {"source": "hub", **repo} if repo else {"source": "local", "path": str(place)}
            name = draft.name if len(entries) == 1 else f"{draft.name}_{number}"
            found = [{"name": draft.add_file("datasets", name, content), "weight": weight}]
            remark = "" if repo or str(place).startswith(("/", "~")) else "a path from this project's root"
        report.say("translated", key, place, f"datasets: {', '.join(use['name'] for use in found)}", remark)
        uses += found
    draft.put("datasets", uses, "RLinf's openpi loader reads the first only" if len(entries) > 1 else "")


def _entries(value: Any) -> list[Entry]:
    found = []
    for entry in value if isinstance(value, list) and value else [value]:
        if isinstance(entry, dict):
            place = entry.get("dataset_path") or entry.get("data_path") or entry.get("path")
            found.append(Entry(place, entry.get("weight", 1.0)))
        else:
            found.append(Entry(entry))
    return found


def _usual(source: Source, draft: Draft, key: str, format_name: str) -> list[dict[str, Any]]:
    """Return the datasets of the experiment with the format's name."""
    path = draft.root / f"config/experiments/{format_name}.yaml"
    content = inherit(path) if path.is_file() else None
    if not isinstance(content, dict) or not content.get("datasets"):
        raise source.error(key, f"names no dataset, and {path} has none to take instead")
    return content["datasets"]
