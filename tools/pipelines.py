"""Write DVC's stages, dvc.yaml and papers/*/dvc.yaml, from config/papers/.

python tools/pipelines.py            # writes them                                   (make papers)
python tools/pipelines.py --check    # exit code 1 where a committed one differs
"""

import argparse
import sys
from pathlib import Path

from pisft.canonical import write_text
from pisft.cli import run
from pisft.provenance.pipeline import pipelines


def main() -> int:
    """Write the pipelines, or with --check compare them; returns 1 if one differs or belongs to no paper."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    found = pipelines()
    stale = [path for path, text in found.items() if not Path(path).is_file() or Path(path).read_text() != text]
    surplus = [path for path in map(str, Path("papers").rglob("dvc.yaml")) if path not in found]
    for path in stale:
        print(f"{path}: {'differs from config/papers; run: make papers' if check else 'written'}", file=sys.stderr)
        if not check:
            write_text(path, found[path])
    for path in surplus:
        print(f"{path}: belongs to no paper in config/papers; delete it", file=sys.stderr)
    return int(bool(surplus) or (check and bool(stale)))


if __name__ == "__main__":
    run(main)
