"""Write the JSON schemas of all configuration files from their types, for editors and for people.

python scripts/schema.py            # writes config/schema/*.json
python scripts/schema.py --check    # exit code 1 where a committed one differs
"""

import argparse
import json
import sys
from pathlib import Path

from pisft.canonical import write_json
from pisft.cli import run
from pisft.config.dataset import DatasetConfig
from pisft.config.experiment import Experiment
from pisft.config.format import FormatConfig
from pisft.config.model import ModelConfig
from pisft.config.simulator import SimulatorConfig
from pydantic import BaseModel, TypeAdapter

FOLDER = Path("config/schema")


def schemas() -> dict[str, dict]:
    types: dict[str, type[BaseModel]] = {
        "experiment": Experiment,
        "format": FormatConfig,
        "model": ModelConfig,
        "simulator": SimulatorConfig,
    }
    found = {name: cls.model_json_schema(by_alias=True) for name, cls in types.items()}
    found["dataset"] = TypeAdapter(DatasetConfig.model_fields["origin"].rebuild_annotation()).json_schema()
    found["experiment"] = with_extends(found["experiment"])
    return found


def with_extends(schema: dict) -> dict:
    """The schema of an experiment, which need not repeat what the one that it `extends` says."""
    whole, partial = schema, without_required(schema)
    definitions = whole.pop("$defs") | {f"Partial{name}": part for name, part in partial.pop("$defs").items()}
    partial = json.loads(json.dumps(partial).replace("#/$defs/", "#/$defs/Partial"))
    definitions = {
        name: json.loads(json.dumps(part).replace("#/$defs/", "#/$defs/Partial"))
        if name.startswith("Partial")
        else part
        for name, part in definitions.items()
    }
    partial["properties"]["extends"] = {"description": "the experiment that this one is laid over", "type": "string"}
    return {"$defs": definitions, "if": {"required": ["extends"]}, "then": partial, "else": whole}


def without_required(schema):
    """A copy in which no key of any mapping is required."""
    if isinstance(schema, dict):
        return {key: without_required(value) for key, value in schema.items() if key != "required"}
    return [without_required(item) for item in schema] if isinstance(schema, list) else schema


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    stale = []
    for name, schema in schemas().items():
        path = FOLDER / f"{name}.schema.json"
        if not path.is_file() or json.loads(path.read_text()) != schema:
            stale.append(path)
            if not check:
                write_json(path, schema)
    for path in stale:
        print(f"{path}: {'differs from the types; run: make schema' if check else 'written'}", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    run(main)
