import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from pisft.errors import PisftError
from pisft.provenance.graph import Node, made_from, stamp, state

# Jobs run in the environment that Snakemake runs in, whether it was activated or not.
shell.prefix(f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; ")


wildcard_constraints:
    exp=r"[A-Za-z0-9][A-Za-z0-9_.~-]*",
    dataset=r"[A-Za-z0-9][A-Za-z0-9_.-]*",


def ingredients(stage):
    """Input function of the rule that makes `stage`: a stamp, and the artefacts that it is made from.

    What decides is the stamp, newer than the output exactly when the artefact is not what would be made now. Where
    it is fresh, the other inputs are ancient and what is not there is not asked for; where it is stale, they are
    plain, since Snakemake does not look at a job's own reasons once a job above it in the graph has some.
    """

    def inputs(wildcards):
        node = Node(stage, wildcards[0])
        try:
            fresh = state(node) is None
            files = {"stamp": stamp(node, fresh)}
            for parent in made_from(node):
                if fresh and Path(parent.target).exists():
                    files.setdefault(parent.stage, []).append(ancient(parent.target))
                elif not fresh:
                    files.setdefault(parent.stage, []).append(parent.target)
        except PisftError as error:
            raise WorkflowError(str(error)) from None
        return files

    return inputs
