"""Compare the bytes of everything in `data/` and `results/` with what was recorded when it was built.

    python scripts/verify.py                      (make verify)
    python scripts/verify.py data/libero results/quickstart

Each file that is missing or not what it was is named, and each record that cannot be read; exit code 1 if there is
one. Freshness looks at the sizes of large files only.
"""

import argparse
from pathlib import Path

from pisft.cli import run
from pisft.data.errors import DataError
from pisft.data.manifest import verify_hashes
from pisft.provenance.graph import damage, records


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("data"), Path("results")])
    folders = parser.parse_args().folders
    wrong: list[str] = []
    files = 0
    for folder in folders:
        if not folder.is_dir():
            wrong.append(f"{folder}: is not a folder")
        for path, outputs in records(folder):
            if outputs is None:
                wrong.append(f"{path}: is no record that can be read; build again what it is of")
                continue
            files += len(outputs)
            wrong += [f"{what}; {path} says so" for what in damage(outputs)]
        for manifest in sorted(folder.rglob("manifest.json")):
            if (root := manifest.with_name("lerobot")).is_symlink():  # a local folder, which has no other record
                try:
                    verify_hashes(root, manifest)
                except DataError as error:
                    wrong.append(str(error))
    print("\n".join(wrong) or f"{files} files are what they were")
    return 1 if wrong else 0


if __name__ == "__main__":
    run(main)
