"""Records, whole as the stages write them, of what a test cares about."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pisft.evaluate.intervals import wilson95
from pisft.records.base import FileFacts, facts_of
from pisft.records.checkpoint import CheckpointIndex
from pisft.records.evaluation import ClosedLoop, Evaluation, Rate

PROTOCOL = {
    "simulator": "s",
    "suites": {"all": ["push"]},
    "tasks": {"push": "push it"},
    "packages": {"mujoco": "3.5"},
    "max_steps": 5,
    "replan_steps": 5,
    "batch_size": 10,
    "episodes_per_task": 4,
    "seeds": {"range": "testing", "first": 0, "last": 3},
    "settings": {},
    "sampling_steps": 10,
}


def rate(successes: int, episodes: int) -> Rate:
    return Rate(
        successes=successes,
        episodes=episodes,
        success=successes / episodes if episodes else 0.0,
        wilson95=wilson95(successes, episodes) if episodes else (0.0, 1.0),
    )


def closed_loop(
    outcomes: Mapping[str, Sequence[bool]], first: int = 0, videos: Mapping[str, str] | None = None, **changes
) -> ClosedLoop:
    """Of tasks with these outcomes, from seed `first` on; `changes` are of the protocol, or of the loop itself."""
    own = {key: changes.pop(key) for key in ("suites", "overall", "chains") if key in changes}
    episodes = [
        {
            "task": task,
            "seed": first + i,
            "success": success,
            "steps": 5,
            "video": (videos or {}).get(f"{task}_{first + i}"),
        }
        for task, found in outcomes.items()
        for i, success in enumerate(found)
    ]
    rates = {task: rate(sum(found), len(found)) for task, found in outcomes.items()}
    overall = rate(sum(e["success"] for e in episodes), len(episodes))
    tasks = {task: f"{task} it" for task in outcomes}
    protocol = PROTOCOL | {"tasks": tasks, "suites": {"all": list(tasks)}} | changes
    content = {"protocol": protocol, "tasks": rates, "suites": {"all": overall}, "overall": overall}
    return ClosedLoop.model_validate(content | {"chains": None, "episodes": episodes} | own)


def evaluation(
    name: str = "x", closed: ClosedLoop | None = None, loss: float = 0.5, held_out: bool = True, **per_dim: float
) -> Evaluation:
    errors = {"mean": 1.0, "per_dim": per_dim or {"dx": loss}, "per_step": [1.0, 1.5], "per_task": {"push it": 1.0}}
    open_loop = {
        "held_out": held_out,
        "episodes": [{"dataset": "d", "episode": 0}],
        "frames": 7,
        "flow_loss": loss,
        "action_error": {"robot": errors, "normalised": errors},
        "action_spread": {"mean": 1.0, "per_dim": per_dim or {"dx": loss}},
    }
    checkpoint = {"step": 30, "sha256": "0123"}
    content = {"experiment": name, "checkpoint": checkpoint, "open_loop": open_loop, "closed_loop": closed}
    return Evaluation.model_validate(content)


def write_index(run_dir: Path, step: int = 0) -> None:
    """checkpoint.json of the files that are there; its key and metrics are made up."""
    files = {path.name: facts_of(path) for path in sorted((run_dir / "checkpoint").iterdir())}
    metrics = FileFacts(size=0, sha256="")
    CheckpointIndex(key="k", step=step, val_loss=None, files=files, metrics=metrics).write(run_dir / "checkpoint.json")
