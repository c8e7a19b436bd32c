"""Write the JSON schemas of all configuration files from their types, for editors and for people.

python tools/schema.py            # writes config/schema/*.json
python tools/schema.py --check    # exit code 1 where a committed one differs
"""

import argparse
import json
import sys
from pathlib import Path

from pisft.canonical import write_text
from pisft.cli import run
from pisft.config.dataset import DatasetConfig
from pisft.config.experiment import Experiment
from pisft.config.format import FormatConfig
from pisft.config.model import ModelConfig
from pisft.config.paper import Paper
from pisft.config.simulators import SimulatorFile
from pisft.config.site import Site
from pisft.provenance.readme import readmes
from pisft.records.base import Versioned
from pisft.records.checkpoint import CheckpointIndex
from pisft.records.difference import Difference
from pisft.records.evaluation import Evaluation
from pisft.records.manifest import Manifest
from pisft.records.provenance import Record
from pydantic import BaseModel, TypeAdapter

FOLDER = Path("config/schema")
DOCS = Path("docs/configuration.md")
INTRODUCTION = """# Configuration

Made from the types in `workflow/pisft/config/` by `make schema`; the JSON schemas in `config/schema/` are made from the
same. Every file is YAML, read strictly: an unknown key, a wrong type or a name that is not there is one line that names
the file, the key and the nearest valid name.

An experiment or a model may say `extends: <another>` and then only what differs. `scripts/resolve.py <exp>` writes
`results/<exp>/config.json`, in which every name is looked up and every default spelled out.
"""
SWEEP = {
    "description": "values of keys such as train.peak_lr or seed: one experiment for each combination",
    "type": "object",
    "additionalProperties": {"type": "array", "items": {"type": ["number", "string", "boolean", "null"]}},
}


def schemas() -> dict[str, dict]:
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
        found[kind] = with_extends(found[kind])
    return found


def record_schemas() -> dict[str, dict]:
    """The schemas of the JSON files that stages write."""
    types: tuple[type[Versioned], ...] = (CheckpointIndex, Difference, Evaluation, Manifest, Record)
    return {cls.kind: cls.model_json_schema() for cls in types}


def canonical(schema: dict) -> str:
    """Return the schema as text, always the same for the same content."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def reference(found: dict[str, dict]) -> str:
    """Return the page: one section for each file type, one table for each mapping."""
    parts = [INTRODUCTION]
    for kind in ("experiment", "format", "dataset", "model", "simulator", "paper", "site"):
        schema = found[kind].get("else", found[kind])
        definitions = found[kind].get("$defs", {})
        parts.append("## `config/site.yaml`\n" if kind == "site" else f"## `config/{kind}s/<{kind}>.yaml`\n")
        if "properties" in schema:
            parts.append(table(schema))
        parts += [
            f"### {name}\n\n{first_paragraph(part)}\n\n{table(part)}"
            for name, part in definitions.items()
            if not name.startswith("Partial") and "properties" in part
        ]
    return "\n".join(parts)


def table(schema: dict) -> str:
    """Return a Markdown table of the properties of a mapping: key, type, default, description."""
    lines = ["| key | type | default | |", "|---|---|---|---|"]
    for key, field in schema["properties"].items():
        default = f"`{json.dumps(field['default'], ensure_ascii=False)}`" if "default" in field else ""
        if key in schema.get("required", []):
            default = "required"
        lines.append(f"| `{key}` | {type_name(field)} | {default} | {field.get('description', '')} |")
    return "\n".join(lines) + "\n"


def type_name(field: dict) -> str:
    """Return the type of a property as a person reads it."""
    if "$ref" in field:
        return field["$ref"].rpartition("/")[2]
    if "enum" in field or "const" in field:
        return " \\| ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    for union in ("anyOf", "oneOf"):
        if union in field:
            return " \\| ".join(type_name(part) for part in field[union])
    kind = field.get("type", "any")
    if kind == "array":
        return f"list of {type_name(field['items'])}" if "items" in field else "list"
    if kind == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"mapping to {type_name(field['additionalProperties'])}"
    return kind


def first_paragraph(schema: dict) -> str:
    """Return the first paragraph of the description, in one line."""
    return " ".join(schema.get("description", "").split("\n\n")[0].split())


def with_extends(schema: dict) -> dict:
    """Return the schema of a file type that with `extends` need not repeat what the parent has."""
    whole, partial = schema, without_required(schema)
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


def without_required(schema):
    """Return a copy in which no key of any mapping is required."""
    if isinstance(schema, dict):
        return {key: without_required(value) for key, value in schema.items() if key != "required"}
    return [without_required(item) for item in schema] if isinstance(schema, list) else schema


def main() -> int:
    """Write the schemas, their reference and the readmes, or with --check compare them; returns 1 if one differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    stale = []
    found = schemas()
    schemas_of_all = found | record_schemas()
    files = {FOLDER / f"{name}.schema.json": canonical(schema) for name, schema in schemas_of_all.items()}
    for path, text in (files | {DOCS: reference(found)} | readmes()).items():
        if not path.is_file() or path.read_text() != text:
            stale.append(path)
            if not check:
                write_text(path, text)
    for path in stale:
        print(f"{path}: {'differs from the types; run: make schema' if check else 'written'}", file=sys.stderr)
    return int(check and bool(stale))


if __name__ == "__main__":
    run(main)
