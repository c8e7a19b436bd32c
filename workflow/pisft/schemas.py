"""The JSON schemas of the files that people write and of those that stages write, made from their types.

Start from `config_schemas` and `record_schemas`.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, TypeAdapter

from pisft.config.dataset import DatasetConfig
from pisft.config.experiment import Experiment
from pisft.config.format import FormatConfig
from pisft.config.model import ModelConfig
from pisft.config.paper import Paper
from pisft.config.simulators import SimulatorFile
from pisft.config.site import Site
from pisft.records.base import Versioned
from pisft.records.checkpoint import CheckpointIndex
from pisft.records.difference import Difference
from pisft.records.evaluation import Evaluation
from pisft.records.health import Health
from pisft.records.manifest import Manifest
from pisft.records.provenance import Record

SWEEP = {
    "description": "values of keys such as train.peak_lr or seed: one experiment for each combination",
    "type": "object",
    "additionalProperties": {"type": "array", "items": {"type": ["number", "string", "boolean", "null"]}},
}


def config_schemas() -> dict[str, dict]:
    """Return the JSON schema of each kind of configuration file."""
    types: dict[str, type[BaseModel]] = {
        "experiment": Experiment,
        "format": FormatConfig,
        "model": ModelConfig,
        "paper": Paper,
        "site": Site,
    }
    found = {name: cls.model_json_schema(by_alias=True) for name, cls in types.items()}
    for kind, file in {"dataset": DatasetConfig, "simulator": SimulatorFile}.items():
        found[kind] = TypeAdapter(file.model_fields["origin"].rebuild_annotation()).json_schema()
    found["experiment"]["properties"]["sweep"] = SWEEP
    for kind in ("experiment", "model"):
        found[kind] = _with_extends(found[kind])
    return found


def record_schemas() -> dict[str, dict]:
    """Return the schema of each kind of JSON file that stages write."""
    types: tuple[type[Versioned], ...] = (CheckpointIndex, Difference, Evaluation, Health, Manifest, Record)
    return {cls.kind: cls.model_json_schema() for cls in types}


def _with_extends(schema: dict) -> dict:
    """Return the schema of a file type that with `extends` need not repeat what the parent has."""
    whole, partial = schema, _without_required(schema)
    definitions = whole.pop("$defs") | {f"Partial{name}": part for name, part in partial.pop("$defs").items()}
    partial = json.loads(json.dumps(partial).replace("#/$defs/", "#/$defs/Partial"))
    definitions = {
        name: json.loads(json.dumps(part).replace("#/$defs/", "#/$defs/Partial"))
        if name.startswith("Partial")
        else part
        for name, part in definitions.items()
    }
    partial["properties"]["extends"] = {"description": "the file that this one is laid over", "type": "string"}
    return {"$defs": definitions, "if": {"required": ["extends"]}, "then": partial, "else": whole}


def _without_required(schema: Any) -> Any:
    """Return a copy in which no key of any mapping is required."""
    if isinstance(schema, dict):
        return {key: _without_required(value) for key, value in schema.items() if key != "required"}
    return [_without_required(item) for item in schema] if isinstance(schema, list) else schema
