"""Translates RLinf's choice of format, model and base weights. Start from `choose_format` and `choose_model`."""

from __future__ import annotations

from typing import Any, NamedTuple

from pisft.config.base import find_named, read_yaml
from pisft.config.files import load_model
from pisft.config.format import FormatConfig
from pisft.rlinf.draft import Draft
from pisft.rlinf.places import hub_repo, is_placeholder
from pisft.rlinf.report import Report
from pisft.rlinf.source import Source


class Format(NamedTuple):
    """A file in config/formats."""

    name: str
    config: FormatConfig


def choose_format(source: Source, draft: Draft, report: Report) -> Format:
    """Return the format that `config_name` names."""
    key = "actor.model.openpi.config_name"
    name = source.get(key)
    if not isinstance(name, str):
        raise source.error(key, f"found {name!r}; expected the name of a format")
    path = find_named(draft.root / "config/formats", name, source.path, key)
    report.say("translated", key, name, "format")
    return Format(name, read_yaml(path, FormatConfig))


def choose_model(source: Source, draft: Draft, report: Report, format_name: str) -> None:
    """Set the model: openpi's, or a file in config/models where the weights or a size are others."""
    pi05 = format_name.startswith("pi05")
    if source.get("actor.model.pi05") is not None:
        pi05 = source.flag("actor.model.pi05")
        report.say("translated", "actor.model.pi05", pi05, "model")
    parent = "pi05_base" if pi05 else "pi0_base"
    base = load_model(parent, draft.root, source.path)
    content: dict[str, Any] = {"extends": parent}
    for theirs, ours, usual in (
        ("max_token_len", "max_token_len", base.max_token_len),
        ("model_action_dim", "action_dim", base.action_dim),
    ):
        key = f"actor.model.openpi.{theirs}"
        if (value := source.number(key)) is not None:
            report.say("translated", key, value, f"model: {ours}")
            content |= {ours: value} if value != usual else {}
    key = "actor.model.model_path"
    where = source.get(key)
    if is_placeholder(where):
        remark = "a placeholder: openpi's base weights"
    else:
        remark = "with openpi's names in it, not in RLinf's own layout"
        content["base"] = hub_repo(source, key, str(where)) or {"path": str(where)}
    chosen = draft.add_file("models", draft.name, content) if len(content) > 1 else parent
    draft.put("model", chosen)
    report.say("translated", key, where, f"model: {chosen}", remark)
