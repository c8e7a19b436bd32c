"""Puts the experiment together, and writes its YAML. Start from `Draft.put(key, value)` and `Draft.finish()`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pisft.config.base import load_yaml, parse
from pisft.config.experiment import Experiment


class Draft:
    """The experiment `name` of the project in `root`, made from the file `origin`.

    `files` is what it needs, text by path under `root`, where nothing is written.
    """

    def __init__(self, name: str, root: Path, origin: Path):
        self.name, self.root, self.origin = name, root, origin
        self.sections: dict[str, Any] = {}
        self.comments: dict[str, str] = {}
        self.files: dict[Path, str] = {}

    def put(self, key: str, value: Any, comment: str = "") -> None:
        """Set `key`, such as `train.steps`; `comment` stands beside it in the YAML."""
        section, _, field = key.partition(".")
        if field:
            self.sections.setdefault(section, {})[field] = value
        else:
            self.sections[section] = value
        if comment:
            self.comments[key] = comment

    def add_file(self, kind: str, name: str, content: dict[str, Any]) -> str:
        """Return the name of the file in config/`kind` with `content`: an existing one, or `name`, to be written."""
        for path in sorted((self.root / f"config/{kind}").glob("*.yaml")):
            if load_yaml(path) == content:
                return path.stem
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        self.files[Path(f"config/{kind}/{name}.yaml")] = f"# From RLinf's {self.origin.name}.\n{text}"
        return name

    def finish(self) -> None:
        """Add the experiment's YAML to `files`: only what differs from the defaults, one block a section."""
        typed = parse(self.sections, Experiment, f"{self.origin}, as experiment {self.name}")
        content = typed.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        if "finetune" in content:  # add back `method`, which is left out at its default
            content["finetune"] = {"method": typed.finetune.method} | content["finetune"]
        lines = [f"# From RLinf's {self.origin.name}, by tools/import_rlinf.py."]
        for section in [section for section in self.sections if section in content]:
            value = content[section]
            if section == "finetune" or not isinstance(value, dict):
                lines.append(f"{section}: {inline(value)}{self._comment(section)}")
            else:
                lines.append(f"{section}:")
                lines += [f"  {key}: {inline(value[key])}{self._comment(f'{section}.{key}')}" for key in value]
        self.files[Path(f"config/experiments/{self.name}.yaml")] = "\n".join(lines) + "\n"

    def _comment(self, key: str) -> str:
        return f"  # {self.comments[key]}" if key in self.comments else ""


def inline(value: Any) -> str:
    """Return `value` as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False)
    return text.strip().removesuffix("\n...").strip()
