"""`report.html`: what was run, from which data, how it learned and how it did, on one page that needs no network.

Start from `render(run_dir)`, which reads the artefacts of `results/<exp>/` and returns the HTML.
"""

from __future__ import annotations

import base64
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from pisft import metrics_csv
from pisft.canonical import read_json
from pisft.config.evaluation import Published
from pisft.data.statistics.health import lines
from pisft.errors import PisftError
from pisft.evaluate.compare import Beside, beside_published
from pisft.records.checkpoint import CheckpointIndex
from pisft.records.evaluation import ClosedLoop, Evaluation
from pisft.records.health import Health
from pisft.records.manifest import Manifest
from pisft.records.provenance import Record
from pisft.report import figures
from pisft.report.template import template

STAGES = ("norm_stats", "train", "evaluate")
UNKNOWN = "not noted"
LOCK = "make verify says whether they are those of the committed dvc.lock"
SECTIONS = ("model", "format", "datasets", "split", "norm_stats", "finetune", "train", "eval", "simulators")


def render(run_dir: Path) -> str:
    """HTML of the experiment in `run_dir`; an artefact that is missing or unreadable is a `PisftError`."""
    config = read_json(run_dir / "config.json")
    stats = read_json(run_dir / "norm_stats.json")["norm_stats"]
    health = Health.read_from(run_dir)
    evaluation = Evaluation.read_from(run_dir)
    folders = [run_dir.parents[1] / f"data/{use['name']}" for use in config["datasets"]]
    manifests = [Manifest.read_from(folder) for folder in folders]
    provenance = {stage: Record.read(run_dir / f"provenance/{stage}.json") for stage in STAGES}
    names = {field: health.names(field) for field in ("state", "actions")}
    return template(Path(__file__).with_name("page.html.j2")).render(
        name=config["name"],
        config=config,
        sections={key: yaml.safe_dump(config[key], sort_keys=False, allow_unicode=True) for key in SECTIONS},
        datasets=list(zip(config["datasets"], manifests, strict=True)),
        checkpoint=CheckpointIndex.read_from(run_dir),
        evaluation=evaluation,
        loss_name=evaluation.loss_name,
        closed=evaluation.closed_loop,
        published=_published(config, evaluation.closed_loop),
        videos=_videos(run_dir, evaluation.closed_loop),
        went=_went(run_dir / "eval.timing.json"),
        health=health,
        warnings=lines(health),
        figures={
            "loss": figures.loss_curve(metrics_csv.read(run_dir / "metrics.csv")),
            "state": figures.statistics(stats, "state", names["state"]),
            "actions": figures.statistics(stats, "actions", names["actions"]),
            "open_loop": figures.action_errors(evaluation.open_loop.action_error.robot),
            "traces": figures.traces(read_json(run_dir / "traces.json", kind=list)),
            "health": _data_uri(run_dir / "norm_stats.report.png"),
        },
        packages=dict(sorted({k: v for record in provenance.values() for k, v in record.packages.items()}.items())),
        records=provenance,
        arithmetic=_arithmetic(provenance),
    )


def _arithmetic(records: dict[str, Record]) -> str:
    """In which bits the stages agree with those of other machines."""
    used = {stage: record.arithmetic for stage, record in records.items()}
    if set(used.values()) == {"portable"}:
        return f"portable: the same bits on every x86-64 processor with AVX2; {LOCK}"
    return f"{', '.join(f'{stage} {kind or UNKNOWN}' for stage, kind in used.items())}; {LOCK}"


def _went(path: Path) -> dict[str, Any] | None:
    """How often simulator processes were lost in each way, and why what was not filmed; None where nobody knows, as
    the file stays on the machine that evaluated."""
    if not path.is_file():
        return None
    timing = read_json(path)
    return {"lost": Counter(timing.get("lost_simulators", [])), "not_filmed": timing.get("not_filmed", [])}


def _published(config: dict[str, Any], closed: ClosedLoop | None) -> list[Beside]:
    if not config["published"]:
        return []
    reported = Published.model_validate(config["published"])
    return [row for one in reported.each() for row in beside_published(closed, one)]


def _data_uri(path: Path) -> str:
    """A PNG as a data URI."""
    try:
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise PisftError(f"{path}: cannot be read: {error.strerror}; build it again") from error


def _videos(run_dir: Path, loop: ClosedLoop | None) -> list[dict[str, Any]]:
    """Recorded episodes, each with its video as a data URI."""
    if loop is None:
        return []
    shown = []
    for episode in loop.episodes:
        if episode.video:
            try:
                content = (run_dir / episode.video).read_bytes()
            except OSError as error:
                raise PisftError(f"{run_dir / episode.video}: cannot be read: {error.strerror}") from error
            uri = "data:video/mp4;base64," + base64.b64encode(content).decode()
            shown.append(episode.model_dump() | {"uri": uri})
    return shown
