"""Report what this machine has, and what each missing thing would enable. Changes nothing.

python tools/doctor.py        (make doctor)
"""

import argparse
from pathlib import Path

from pisft.cli import run
from pisft.doctor import examine

MARKS = {True: "✓", False: "✗", None: " "}


def main() -> None:
    """Print what this machine has, one line for each thing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    findings = examine(Path.cwd())
    widths = [max(len(getattr(finding, key)) for finding in findings) for key in ("what", "found")]
    for finding in findings:
        need = f"for {finding.enables}" if finding.has is False else ""
        print(f"{MARKS[finding.has]} {finding.what:<{widths[0]}}  {finding.found:<{widths[1]}}  {need}".rstrip())


if __name__ == "__main__":
    run(main)
