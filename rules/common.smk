import shlex
import sys
from pathlib import Path

from pisft.provenance.rules import ingredients

# Jobs run in the environment that Snakemake runs in, whether it was activated or not.
shell.prefix(f"set -euo pipefail; export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; ")


wildcard_constraints:
    exp=r"[A-Za-z0-9][A-Za-z0-9_.~-]*",
    dataset=r"[A-Za-z0-9][A-Za-z0-9_.~-]*",
    view=r"[A-Za-z0-9][A-Za-z0-9_.~-]*/frames/[^/]+\.[0-9]+",
    model=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
