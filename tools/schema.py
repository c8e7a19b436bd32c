"""Write the JSON schemas of all configuration files from their types, for editors and for people.

python tools/schema.py            # writes config/schema/*.json
python tools/schema.py --check    # exit code 1 where a committed one differs
"""

import argparse
import sys
from pathlib import Path

from pisft.canonical import json_text, write_text
from pisft.cli import run
from pisft.config.reference import reference
from pisft.provenance.readme import readmes
from pisft.schemas import config_schemas, record_schemas

FOLDER = Path("config/schema")
DOCS = Path("docs/configuration.md")


def main() -> int:
    """Write the schemas, their reference and the readmes, or with --check compare them; returns 1 if one differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    stale = []
    found = config_schemas()
    schemas = found | record_schemas()
    files = {FOLDER / f"{name}.schema.json": json_text(schema) for name, schema in schemas.items()}
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
