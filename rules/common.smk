import shlex
import sys
from pathlib import Path

from pisft.config import site
from pisft.process import started_by
from pisft.provenance.locks import unlock
from pisft.provenance.rules import ingredients, say_what_was_not_read

# Jobs run in the environment that Snakemake runs in, whether it was activated or not.
# They are told whose jobs they are, and end when it is killed.
here = f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH {started_by()}; "
here = here.replace("{", "{{").replace("}", "}}")
shell.prefix(here + site.prefix(site.load()) + "set -euo pipefail; ")

unlock()
say_what_was_not_read()


# Which names are allowed is said by `ingredients`, with the reason.
wildcard_constraints:
    exp=r"[^/]+",
    dataset=r"[^/]+",
    view=r"[^/]+/frames/[^/]+\.[0-9]+",
    paper=r"[^/]+",
    sweep=r"[^/]+",
    model=r"[^/]+",
