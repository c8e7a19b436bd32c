import sys

from snakemake.exceptions import WorkflowError

from pisft.config import resolve
from pisft.errors import PisftError
from pisft.provenance.graph import Node, stamp


PYTHON = sys.executable


wildcard_constraints:
    exp=r"[A-Za-z0-9][A-Za-z0-9_.~-]*",
    dataset=r"[A-Za-z0-9][A-Za-z0-9_.-]*",


def live(stage):
    """The input that is newer than the output exactly when the artefact is not what would be made now."""

    def newer_when_stale(wildcards):
        try:
            return stamp(Node(stage, wildcards[0]))
        except PisftError as error:
            raise WorkflowError(str(error)) from None

    return newer_when_stale


def datasets(wildcards):
    """Manifests of the experiment's datasets."""
    try:
        return [f"data/{use.name}/manifest.json" for use in resolve(wildcards.exp).datasets]
    except PisftError as error:
        raise WorkflowError(str(error)) from None
