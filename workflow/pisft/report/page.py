"""`report.html`: what was run, from which data, how it learned and how it did, on one page that needs no network.

Start from `render(run_dir)`, which reads the artefacts of `results/<exp>/` and returns the HTML.
"""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path
from typing import Any

import yaml

from pisft.errors import PisftError
from pisft.report import figures
from pisft.report.template import template

STAGES = ("norm_stats", "checkpoint", "eval")
SECTIONS = ("model", "format", "datasets", "split", "norm_stats", "finetune", "train", "eval", "simulators")


def render(run_dir: Path) -> str:
    """HTML of the experiment in `run_dir`; an artefact that is missing or unreadable is a `PisftError`."""
    config = _json(run_dir / "config.json")
    stats = _json(run_dir / "norm_stats.json")["norm_stats"]
    health = _json(run_dir / "norm_stats.report.json")
    evaluation = _json(run_dir / "eval.json")
    manifests = [_json(run_dir.parents[1] / f"data/{use['name']}/manifest.json") for use in config["datasets"]]
    provenance = {stage: _json(run_dir / f"provenance/{stage}.json") for stage in STAGES}
    features = manifests[0].get("features", {})
    names = {
        field: _dim_names(config["format"][field], features, len(stats[field]["mean"]))
        for field in ("state", "actions")
    }
    return template(Path(__file__).with_name("page.html.j2")).render(
        name=config["name"],
        config=config,
        sections={key: yaml.safe_dump(config[key], sort_keys=False, allow_unicode=True) for key in SECTIONS},
        datasets=list(zip(config["datasets"], manifests, strict=True)),
        checkpoint=_json(run_dir / "checkpoint.json"),
        evaluation=evaluation,
        closed=evaluation["closed_loop"],
        videos=_videos(run_dir, evaluation["closed_loop"]),
        health=health,
        names=names,
        warnings=_warnings(health, names),
        pictures={
            "loss": figures.loss_curve(_metrics(run_dir / "metrics.csv")),
            "state": figures.statistics(stats, "state", names["state"]),
            "actions": figures.statistics(stats, "actions", names["actions"]),
        },
        packages=dict(sorted({k: v for p in provenance.values() for k, v in p["packages"].items()}.items())),
        keys={stage: record["key"] for stage, record in provenance.items()},
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise PisftError(f"{path}: cannot be read ({error}); expected JSON; build it again") from error


def _metrics(path: Path) -> list[dict[str, float | None]]:
    try:
        with path.open(newline="") as file:
            return [{key: float(v) if v else None for key, v in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError) as error:
        raise PisftError(f"{path}: cannot be read ({error}); expected the table that training writes") from error


def _dim_names(sources: list[dict[str, Any]], features: dict[str, Any], count: int) -> list[str]:
    """Names of the dims of concatenated sources, from the dataset's features where it names them."""
    names: list[str] = []
    for source in sources:
        known = features.get(source["key"], {}).get("names")
        if isinstance(known, dict):
            known = [name for group in known.values() for name in group]
        width = features.get(source["key"], {}).get("shape", [0])[0]
        own = [str(name) for name in known] if known else [f"{source['key']}[{i}]" for i in range(width)]
        names += own[slice(*source["dims"])] if source["dims"] else own
    return names if len(names) == count else [str(i) for i in range(count)]


def _warnings(health: dict[str, Any], names: dict[str, list[str]]) -> list[str]:
    lines = []
    for field, labels in names.items():
        for label, dim in zip(labels, health[field]["dims"], strict=True):
            if dim["warnings"] or dim["widened"]:
                words = [word.replace("_", " ") for word in dim["warnings"]]
                words += [f"{word} widened" for word in dim["widened"]]
                largest = f"largest normalised value {dim['largest_normalised']:.3g}"
                lines.append(f"{field} {label}: {', '.join(words)} ({largest})")
    return lines


def _videos(run_dir: Path, loop: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Recorded episodes, each with its video as a data URI."""
    if loop is None:
        return []
    shown = []
    for episode in loop["episodes"]:
        if episode["video"]:
            try:
                content = (run_dir / episode["video"]).read_bytes()
            except OSError as error:
                raise PisftError(f"{run_dir / episode['video']}: cannot be read: {error.strerror}") from error
            shown.append(episode | {"uri": "data:video/mp4;base64," + base64.b64encode(content).decode()})
    return shown
