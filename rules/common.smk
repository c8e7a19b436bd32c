import shlex
import sys
from pathlib import Path

from pisft.config import site
from pisft.provenance.locks import unlock
from pisft.provenance.rules import ingredients

# Jobs run in the environment that Snakemake runs in, whether it was activated or not.
here = f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; "
shell.prefix(here + site.prefix(site.load()) + "set -euo pipefail; ")

unlock()


wildcard_constraints:
    exp=r"[A-Za-z0-9][A-Za-z0-9_.~=+-]*",
    dataset=r"[A-Za-z0-9][A-Za-z0-9_.~-]*",
    view=r"[A-Za-z0-9][A-Za-z0-9_.~-]*/frames/[^/]+\.[0-9]+",
    paper=r"[A-Za-z0-9][A-Za-z0-9_.~-]*",
    sweep=r"[A-Za-z0-9][A-Za-z0-9_.~-]*",
    model=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
