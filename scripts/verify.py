"""Compare the bytes of everything in `data/` and `results/` with what was recorded when it was built.

    python scripts/verify.py                      (make verify)
    python scripts/verify.py data/libero results/quickstart

Each file that is missing or not what it was is named; exit code 1 if there is one. Freshness looks at sizes only.
"""

import argparse
from pathlib import Path

from pisft.canonical import file_facts
from pisft.cli import run
from pisft.data.errors import DataError
from pisft.data.manifest import verify_hashes
from pisft.provenance.graph import records


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
            for name, expected in outputs.items():
                files += 1
                if not Path(name).is_file():
                    wrong.append(f"{name}: is missing; {path} lists it")
                elif file_facts(name) != expected:
                    wrong.append(f"{name}: changed; {path} says sha256 {expected['sha256'][:12]}…")
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
