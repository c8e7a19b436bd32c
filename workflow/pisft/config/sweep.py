"""Expands a sweep to one experiment for each combination of values. Start from `members` and `choose`.

A file with `sweep: {train.peak_lr: [5.0e-4, 1.0e-3], seed: [0, 1, 2]}` has experiments that are named
`<sweep>~peak_lr=0.001~seed=2`.
"""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

from pisft.config.base import ConfigError
from pisft.names import shown

SEED = "train.seed"
SHORT = {"seed": SEED}
NAME = re.compile(r"[A-Za-z0-9_.+-]+")


def sweep_of(name: str) -> str:
    """Return the name of an experiment's file, for a member of a sweep, a smoke version or a plain experiment."""
    return name.partition("~")[0]


def members(name: str, content: Any, source: str | Path) -> dict[str, dict[str, Any]]:
    """Return name → {key: value} for each experiment that `content` of file `source` expands to; empty if no sweep."""
    axes = content.get("sweep") if isinstance(content, dict) else None
    if axes is None:
        return {}
    if not isinstance(axes, dict) or not axes:
        raise ConfigError(f"{source}: sweep: found {axes!r}; expected a mapping such as {{train.peak_lr: [0.001]}}")
    for key, values in axes.items():
        if not NAME.fullmatch(str(key)):
            raise ConfigError(f"{source}: sweep: found {shown(key)}; expected keys such as train.peak_lr")
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{source}: sweep.{key}: found {values!r}; expected a list of values")
        for value in values:
            if isinstance(value, (list, dict)) or not NAME.fullmatch(_spelled(value)):
                raise ConfigError(
                    f"{source}: sweep.{key}: found {value!r}; expected numbers, booleans or single words, "
                    "since they become part of a file's name"
                )
        if len({_spelled(value) for value in values}) < len(values):
            raise ConfigError(f"{source}: sweep.{key}: found {values!r}; expected each value once")
    keys = {str(key): SHORT.get(str(key), str(key)) for key in axes}
    found = {}
    for values in product(*axes.values()):
        chosen = dict(zip(keys.values(), values, strict=True))
        found[name + "".join(f"~{_short(key, keys.values())}={_spelled(v)}" for key, v in chosen.items())] = chosen
    return found


def choose(name: str, content: Any, source: str | Path) -> Any:
    """Return `content` for experiment `name`: without `sweep`, with the values in the name filled in."""
    sweep = sweep_of(name)
    known = members(sweep, content, source)
    if not known:
        if name != sweep:
            raise ConfigError(f"{source}: sweep: is missing; '{name}' asks for an experiment of a sweep")
        return content
    if name == sweep:
        raise ConfigError(
            f"{source}: is a sweep of {len(known)} experiments; ask for results/sweeps/{name}/table.csv, "
            f"or for one of them, such as {next(iter(known))}"
        )
    if name not in known:
        raise ConfigError(f"{source}: sweep: has no '{name}'; it has {', '.join(known)}")
    content = {key: value for key, value in content.items() if key != "sweep"}
    for key, value in known[name].items():
        content = _with(content, key.split("."), value)
    return content


def _with(content: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    below = content if isinstance(content, dict) else {}
    return below | {path[0]: _with(below.get(path[0]), path[1:], value)}


def _short(key: str, keys: Any) -> str:
    """Return the last part of a key, or the whole key if another has the same last part."""
    last = key.rpartition(".")[2]
    return key if sum(other.rpartition(".")[2] == last for other in keys) > 1 else last


def _spelled(value: Any) -> str:
    return (
        {True: "true", False: "false", None: "null"}[value]
        if value is None or value is True or value is False
        else str(value)
    )
