"""`report.html`: what was run, from which data, how it learned and how it did, on one page that needs no network.

Start from `render(run_dir)`, which reads the artefacts of `results/<exp>/` and returns the HTML.
"""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path
from typing import Any

import jinja2
import yaml

from pisft.data.format import feature_names
from pisft.data.health import lines
from pisft.errors import PisftError
from pisft.report import figures

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
    names = {field: [dim["name"] for dim in health[field]["dims"]] for field in ("state", "actions")}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda x: f"{100 * x:.1f} %"
    environment.filters["count"] = lambda n: f"{n:,}".replace(",", " ")
    return environment.get_template("page.html.j2").render(
        name=config["name"],
        config=config,
        sections={key: yaml.safe_dump(config[key], sort_keys=False, allow_unicode=True) for key in SECTIONS},
        datasets=list(zip(config["datasets"], manifests, strict=True)),
        checkpoint=_json(run_dir / "checkpoint.json"),
        evaluation=evaluation,
        closed=evaluation["closed_loop"],
        videos=_videos(run_dir, evaluation["closed_loop"]),
        health=health,
        robot_names=_robot_names(config["format"]["actions"], manifests[0]["features"]),
        warnings=lines(health),
        pictures={
            "loss": figures.loss_curve(_metrics(run_dir / "metrics.csv")),
            "state": figures.statistics(stats, "state", names["state"]),
            "actions": figures.statistics(stats, "actions", names["actions"]),
            "health": _picture(run_dir / "norm_stats.report.png"),
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


def _robot_names(sources: list[dict[str, Any]], features: dict[str, Any]) -> list[str]:
    """Names of the dims of concatenated sources, as the dataset holds them."""
    names = ((source, feature_names(source["key"], features[source["key"]])) for source in sources)
    return [name for source, own in names for name in own[slice(*source["dims"]) if source["dims"] else slice(None)]]


def _picture(path: Path) -> str:
    """A PNG as a data URI."""
    try:
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise PisftError(f"{path}: cannot be read: {error.strerror}; build it again") from error


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
