import shlex
import sys
from pathlib import Path

from pisft.config import site
from pisft.process import started_by
from pisft.provenance.locks import unlock
from pisft.provenance.rules import needs, say_what_was_not_read, stamp
from snakemake.utils import min_version

min_version("9.27")

# Jobs run in the environment that Snakemake runs in, whether it was activated or not.
# Each job knows which Snakemake started it, and ends when that one is killed.
here = f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH {started_by()}; "
here = here.replace("{", "{{").replace("}", "}}")
shell.prefix(here + site.prefix(site.load()) + "set -euo pipefail; ")

# In every rule:
# - `stamp` decides whether the rule runs: it is newer than the output if the artefact is stale;
# - `needs` gives the files of one kind that this artefact is made from, by its configuration;
# - `update` keeps an output until the job replaces it, so that a job that fails loses nothing;
# - `threads` is the most that a job can use; Snakemake gives it no more than --cores or the profile allows.
unlock()
say_what_was_not_read()


# `stamp` rejects a name that is not allowed, with the reason.
wildcard_constraints:
    exp=r"[^/]+",
    dataset=r"[^/]+",
    view=r"[^/]+/frames/[^/]+\.[0-9]+",
    paper=r"[^/]+",
    sweep=r"[^/]+",
    model=r"[^/]+",
