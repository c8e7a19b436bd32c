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
# They are told whose jobs they are, and end when it is killed.
here = f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH {started_by()}; "
here = here.replace("{", "{{").replace("}", "}}")
shell.prefix(here + site.prefix(site.load()) + "set -euo pipefail; ")

# In every rule:
# - `stamp` is the input that decides: it is newer than the output where the artefact is not what would be made now;
# - `needs` names a kind of file that the artefact is made from, as the configuration has it for this one;
# - `update` keeps an output where it is until the job replaces it: what was built outlives a job that fails;
# - `threads` is the most that a job can use: Snakemake gives it what --cores, or the profile, has.
unlock()
say_what_was_not_read()


# Which names are allowed is said by `stamp`, with the reason.
wildcard_constraints:
    exp=r"[^/]+",
    dataset=r"[^/]+",
    view=r"[^/]+/frames/[^/]+\.[0-9]+",
    paper=r"[^/]+",
    sweep=r"[^/]+",
    model=r"[^/]+",
