"""Translates an RLinf configuration of supervised fine-tuning to an experiment, and reports what became of each key.

Start from `translate(path, name, root)`; `check` tells whether its result resolves. Every key that is read is in
vocabulary.py; every other key in the file is reported with the reason given there.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pisft.canonical import write_text
from pisft.config.base import ConfigError
from pisft.config.resolution import resolve
from pisft.names import shown, why_no_name
from pisft.rlinf.checks import check_fixed, check_kind
from pisft.rlinf.cluster import check_batch, choose_gpus
from pisft.rlinf.datasets import choose_datasets
from pisft.rlinf.draft import Draft
from pisft.rlinf.finetune import choose_finetune
from pisft.rlinf.model import choose_format, choose_model
from pisft.rlinf.report import Line, Report
from pisft.rlinf.schedule import choose_schedule, choose_steps
from pisft.rlinf.source import Source
from pisft.rlinf.values import carry, carry_positive, choose_logging, choose_precision


class Import(NamedTuple):
    """The files of the experiment, by their path under the project's root, and the report."""

    name: str
    files: dict[Path, str]
    lines: list[Line]


def translate(path: str | Path, name: str, root: str | Path = ".", overrides: Iterable[str] = ()) -> Import:
    """Translate the RLinf configuration in `path` to the experiment `name` of the project in `root`; writes nothing.

    `overrides` are Hydra's `key=value`, as RLinf's trainer takes them. Raises `ConfigError` if something that an
    experiment needs is missing (data, format, batch, length, learning rate), or if it does not fine-tune a π₀.
    """
    path = Path(path)
    if not path.name.isprintable():
        raise ConfigError(f"{shown(str(path))}: cannot be printed, and what is written names it; rename the file")
    if reason := why_no_name(name):
        raise ConfigError(f"{path}: found the name {shown(name)}; {reason}: give --name")
    source = Source(path, overrides)
    draft, report = Draft(name, Path(root), path), Report(source)

    # the order of the lines in the report, and of the sections in the YAML
    check_kind(source, report)
    draft.put("recipe", f"RLinf {path.stem}")
    chosen = choose_format(source, draft, report)
    choose_model(source, draft, report, chosen.name)
    draft.put("format", chosen.name)
    choose_datasets(source, draft, report, chosen.name)
    choose_finetune(source, draft, report)
    choose_steps(source, draft, report)
    carry(source, draft, report)
    choose_schedule(source, draft, report)
    draft.put("train.ema", None, "RLinf keeps no average of the weights")
    draft.put("train.augment", True, "RLinf augments the images that it trains on, and no key says so")
    report.assume("train.ema", None, "RLinf keeps none")
    report.assume("train.augment", True, "RLinf trains on augmented images")
    choose_precision(source, draft, report)
    carry_positive(source, draft, report)
    choose_logging(source, draft, report)
    choose_gpus(source, draft, report)
    check_batch(source, draft, report)
    check_fixed(source, report, chosen)
    report.rest()
    draft.finish()
    return Import(name, draft.files, report.lines)


def check(result: Import, root: str | Path = ".") -> None:
    """Resolve the experiment in a temporary copy of config/; raises `ConfigError` if it does not resolve."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(Path(root, "config"), Path(folder, "config"))
        for path, text in result.files.items():
            write_text(Path(folder, path), text)
        try:
            resolve(result.name, folder)
        except ConfigError as error:
            raise ConfigError(f"nothing is written: {error}".replace(f"{folder}/", "")) from None
