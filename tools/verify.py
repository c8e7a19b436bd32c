"""Compare the bytes of everything in `data/` and `results/` with what was recorded when it was built.

    python tools/verify.py                      (make verify)
    python tools/verify.py data/libero results/quickstart

Names each file that is missing or changed, and each record that cannot be read; exit code 1 if there is one. Freshness
checks, by contrast, compare large files by size only. Of each experiment, it also says what it was computed with, and
whether it is, bit for bit, the one of the committed dvc.lock.
"""

import argparse
import contextlib
from pathlib import Path

from pisft.canonical import files_below
from pisft.cli import run
from pisft.data.errors import DataError
from pisft.data.sources.manifest import verify_hashes
from pisft.provenance.committed import beside_lock
from pisft.provenance.record import damage, previous, read_record, records
from pisft.records.checkpoint import CheckpointIndex
from pisft.stages import ProvenanceError, node_of


def main() -> int:
    """Compare all recorded files with their records and print what is wrong; returns 1 if something is."""
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
                wrong.append(f"{path}: is not a readable record; build its artefact again")
                continue
            files += len(outputs)
            wrong += [f"{what}; {path} says so" for what in damage(outputs)]
        for manifest in (path for path in files_below(folder) if path.name == "manifest.json"):
            if (root := manifest.with_name("lerobot")).is_symlink():  # a local folder, which has no other record
                try:
                    verify_hashes(root, manifest)
                except DataError as error:
                    wrong.append(str(error))
        wrong += [f"{path}: has no record of what it was made from; build it again" for path in unrecorded(folder)]
    if not wrong and not files:
        wrong.append(f"no record was found in {', '.join(map(str, folders))}: nothing was built there, or it is gone")
    print("\n".join(wrong) or f"{files} files match their records")
    for exp in sorted({exp for folder in folders for exp in experiments(folder)}):
        print(*(line for line in (computed_with(exp), beside_lock(exp)) if line), sep="\n")
    return 1 if wrong else 0


def experiments(folder: Path) -> set[str]:
    """Return the names of the experiments at or below `folder` that were trained."""
    return {
        path.parent.relative_to("results").as_posix()
        for path in (here(file) for file in files_below(folder))
        if path.name == CheckpointIndex.name_of_file and path.is_relative_to("results")
    }


def here(path: Path) -> Path:
    """Return `path` relative to the working directory, where it lies below that."""
    path = path.absolute()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def computed_with(exp: str) -> str | None:
    """Return a line that tells the stages of `exp` apart by what they were computed with; None where all were alike."""
    records = {path.stem: read_record(path) for path in sorted(Path("results", exp, "provenance").glob("*.json"))}
    used = {stage: record.arithmetic for stage, record in records.items() if record and record.arithmetic}
    if len(set(used.values())) < 2:
        return None
    return f"{exp}: computed with different arithmetic: {', '.join(f'{stage} {kind}' for stage, kind in used.items())}"


def unrecorded(folder: Path) -> list[Path]:
    """Return the artefacts below `folder`, recognised by their names, that have no record."""
    found = []
    for path in files_below(folder):
        with contextlib.suppress(ProvenanceError):
            node = node_of(path.as_posix())
            if not Path(node.provenance).exists() and not previous(Path(node.provenance)).exists():
                found.append(path)
    return found


if __name__ == "__main__":
    run(main)
