"""results/README.md and data/README.md, made from what the stages say that they write. Start from `readmes`."""

from __future__ import annotations

from pathlib import Path

from pisft.stages import STAGES

HEAD = "| path | what it is |\n|---|---|\n"
RESULTS = """# results/

One folder an experiment, named as its file in `config/experiments/`; git ignores them. Made from the stages by
`make schema`.

"""
DATA = """# data/

One folder a dataset, named as its file in `config/datasets/`; git ignores them. Made from the stages by `make schema`.

"""
NAMES = {  # folder → what stands for a name in it
    "results/papers/": "<paper>",
    "results/sweeps/": "<sweep>",
    "results/diff/": "<a>..<b>",
    "results/": "<exp>",
    "data/base/": "<model>",
    "data/": "<dataset>",
}
BESIDE_RESULTS = {
    "<exp>/tensorboard/": "the metrics as TensorBoard reads them",
    "<exp>/metrics.timing.csv": "how fast training was: samples/s, waiting for data, memory, MFU",
    "<exp>/train_state/": "what training resumes from after an interruption",
    "<exp>/train_state/<run>/kept/step_<n>/": "the weights that `train.keep_every` saved",
    "<exp>/eval.timing.json": "how the evaluation went: seconds, simulators that were lost, what could not be filmed",
    "<exp>/success_by_step.json, .svg": "what `tools/evaluate_by_step.py` found for each saved step",
    "<exp>/films/": "episodes that `tools/film.py` was asked for",
    "<exp>/provenance/<stage>.json": "what each artefact was made from; decides whether it is fresh",
    "<exp>/machine/<stage>.json": "on what machine and commit it was made; nothing depends on it",
    "<exp>/logs/, <exp>/slurm/": "what each stage printed, and each process of a job",
    "<exp>/trace/": "a profiler's trace, where one was asked for",
}
BESIDE_DATA = {
    "<dataset>/original/": "what was downloaded from the hub; `lerobot/` is a link to it, or its conversion to v3.0",
    "<dataset>/provenance.json": "what it was made from; decides whether it is fresh",
    "openpi/": "openpi's checkpoints, as you fetched them",
}


def readmes() -> dict[Path, str]:
    """Path → text of both files."""
    rows: dict[str, dict[str, str]] = {"results": {}, "data": {}}
    for stage in STAGES.values():
        for output in stage.outputs:
            prefix = next(prefix for prefix in NAMES if output.path.startswith(prefix))
            name = (
                NAMES[prefix] if stage.pattern == "[^/]+" or "diff" in prefix else "<dataset>/frames/<camera>.<pixels>"
            )
            folder, _, path = output.path.replace("{name}", name).partition("/")
            rows[folder][path] = output.what
    texts = ((RESULTS, _ordered(rows["results"] | BESIDE_RESULTS)), (DATA, _ordered(rows["data"] | BESIDE_DATA)))
    return {
        Path(folder, "README.md"): intro + HEAD + "".join(f"| `{path}` | {what} |\n" for path, what in content.items())
        for folder, (intro, content) in zip(rows, texts, strict=True)
    }


def _ordered(rows: dict[str, str]) -> dict[str, str]:
    """`rows` with those of one experiment or one dataset first."""
    return dict(sorted(rows.items(), key=lambda row: not row[0].startswith(("<exp>", "<dataset>"))))
