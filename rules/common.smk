import shlex
import sys
from pathlib import Path

from pisft.config import site
from pisft.provenance.locks import unlock
from pisft.provenance.rules import ingredients

# Jobs run in the environment that Snakemake runs in, whether it was activated or not.
here = f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; ".replace("{", "{{").replace("}", "}}")
shell.prefix(here + site.prefix(site.load()) + "set -euo pipefail; ")

unlock()


# Which names are allowed is said by `ingredients`, with the reason.
wildcard_constraints:
    exp=r"[^/]+",
    dataset=r"[^/]+",
    view=r"[^/]+/frames/[^/]+\.[0-9]+",
    paper=r"[^/]+",
    sweep=r"[^/]+",
    model=r"[^/]+",
