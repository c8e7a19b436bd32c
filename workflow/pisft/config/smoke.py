"""Derives `<exp>~smoke`, an experiment made tiny, so that its whole graph runs on a laptop in a minute.

Every choice (format, recipe, precision, augmentation, schedule, method) stays; everything that costs time (the model's
dimensions, the dataset, steps, episodes, rendering) shrinks. On a cluster it trains on two nodes, to test what only
several processes do. A simulator with an environment of its own is left out. Start from `shrink`.
"""

from __future__ import annotations

from typing import Any

from pisft.config.base import ConfigError
from pisft.config.dataset import SyntheticDataset
from pisft.config.format import FormatConfig

SUFFIX = "~smoke"

MODEL = {
    "image_size": 32,
    "vision": {"width": 32, "depth": 1, "mlp": 64, "heads": 2, "patch": 16},
    "depth": 2,
    "heads": 2,
    "kv_heads": 1,
    "head_dim": 16,
    "vlm": {"width": 32, "mlp": 64},
    "expert": {"width": 32, "mlp": 64},
    "vocab_size": 258,
    "max_token_len": 256,
    "tokenizer": {"kind": "bytes"},
    "base": "scratch",
}
TRAIN = {"steps": 20, "global_batch_size": 4, "warmup_steps": 2, "log_every": 5, "validate_every": 10, "save_every": 10}
STEPS = 20
RENDER = {"size": 64, "height": 48, "width": 64, "shadowsize": 0, "offsamples": 0, "reflectance": False}
EPISODES = 4
TASKS = 2


def is_smoke(name: str) -> bool:
    """Whether `name` is that of a smoke experiment, dataset, model or simulator."""
    return name.endswith(SUFFIX)


def original(name: str) -> str:
    """Return the name that a smoke version was made from."""
    return name.removesuffix(SUFFIX)


def shrink(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of an experiment's file, made tiny; model, dataset and simulator get the suffix."""
    content = dict(content)
    few_shot = {key: value for key, value in content["datasets"][0].items() if key == "episodes_per_task"}
    tiny = content | {
        "model": content["model"] + SUFFIX,
        "datasets": [{"name": content["format"] + SUFFIX} | few_shot],
        "split": {"heldout_fraction": 1 / EPISODES if content.get("split", {}).get("heldout_fraction", 1) else 0},
        "train": content["train"] | TRAIN | {"keep_every": None},
        "eval": {"open_loop": {"episodes": 1}},
        "cluster": {"num_nodes": 2},
        "published": None,
    }
    if content["train"].get("steps") == 0:
        tiny["train"]["steps"] = 0
    method = content.get("finetune", {})
    if "adapter" in method:
        tiny["finetune"] = method | {"adapter": None}
    evaluation = content.get("eval", {})
    if evaluation.get("checkpoint") == "best":
        tiny["eval"]["checkpoint"] = "best"
    if loop := evaluation.get("closed_loop"):
        few = {"episodes_per_task": 1, "batch_size": 2, "seed": 0, "simulator": loop["simulator"] + SUFFIX}
        tiny["eval"]["closed_loop"] = loop | few
    return tiny


def shrink_model(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a model's file, made tiny; a base experiment becomes its smoke version."""
    base = content.get("base")
    experiment = base.get("experiment") if isinstance(base, dict) else None
    return content | MODEL | ({"base": {"experiment": experiment + SUFFIX}} if experiment else {})


def shrink_simulator(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a simulator's file with few tasks a suite, short episodes and small, plain images."""
    suites = {name: tasks[:TASKS] for name, tasks in content.get("suites", {}).items()}
    tiny = content | {"max_steps": STEPS, "suites": suites}
    if "render" in content:
        plain = {key: value for key, value in RENDER.items() if key in content["render"]}
        tiny["render"] = content["render"] | plain
    return tiny


def dataset(fmt: FormatConfig, path: str) -> SyntheticDataset:
    """Return a generated dataset with the keys, shapes and dtypes of `fmt`, which was read from `path`."""
    if not fmt.features:
        raise ConfigError(
            f"{path}: features: is missing; {SUFFIX} generates data by it: give dtype and shape of each key of "
            "the dataset, as in its meta/info.json"
        )
    return SyntheticDataset(
        features=fmt.features,
        fps=fmt.fps or 10.0,
        episodes=EPISODES,
        frames=fmt.action_horizon + 8,
    )
