"""docs/configuration.md, made from the schemas. Start from `reference`."""

from __future__ import annotations

import json

INTRODUCTION = """# Configuration

Made from the types in `workflow/pisft/config/` by `make schema`; the JSON schemas in `config/schema/` are made from the
same. Every file is YAML, read strictly: an unknown key, a wrong type or a name that is not there is one line that names
the file, the key and the nearest valid name.

An experiment or a model may say `extends: <another>` and then only what differs. `scripts/resolve.py <exp>` writes
`results/<exp>/config.json`, in which every name is looked up and every default spelled out.
"""


def reference(found: dict[str, dict]) -> str:
    """Return the page about `found`, schemas by kind: one section for each file type, one table for each mapping."""
    parts = [INTRODUCTION]
    for kind in ("experiment", "format", "dataset", "model", "simulator", "paper", "site"):
        schema = found[kind].get("else", found[kind])
        definitions = found[kind].get("$defs", {})
        parts.append("## `config/site.yaml`\n" if kind == "site" else f"## `config/{kind}s/<{kind}>.yaml`\n")
        if "properties" in schema:
            parts.append(_table(schema))
        parts += [
            f"### {name}\n\n{_first_paragraph(part)}\n\n{_table(part)}"
            for name, part in definitions.items()
            if not name.startswith("Partial") and "properties" in part
        ]
    return "\n".join(parts)


def _table(schema: dict) -> str:
    """Return a Markdown table of the properties of a mapping: key, type, default, description."""
    lines = ["| key | type | default | |", "|---|---|---|---|"]
    for key, field in schema["properties"].items():
        default = f"`{json.dumps(field['default'], ensure_ascii=False)}`" if "default" in field else ""
        if key in schema.get("required", []):
            default = "required"
        lines.append(f"| `{key}` | {_type_name(field)} | {default} | {field.get('description', '')} |")
    return "\n".join(lines) + "\n"


def _type_name(field: dict) -> str:
    """Return the type of a property as a person reads it."""
    if "$ref" in field:
        return field["$ref"].rpartition("/")[2]
    if "enum" in field or "const" in field:
        return " \\| ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    for union in ("anyOf", "oneOf"):
        if union in field:
            return " \\| ".join(_type_name(part) for part in field[union])
    kind = field.get("type", "any")
    if kind == "array":
        return f"list of {_type_name(field['items'])}" if "items" in field else "list"
    if kind == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"mapping to {_type_name(field['additionalProperties'])}"
    return kind


def _first_paragraph(schema: dict) -> str:
    """Return the first paragraph of the description, in one line."""
    return " ".join(schema.get("description", "").split("\n\n")[0].split())
