"""Identifies a served policy by everything that determines its actions. Start from `served(uri, run_dir)`."""

from __future__ import annotations

import os
from pathlib import Path

from pisft.canonical import digest
from pisft.config.files import read_resolved
from pisft.provenance.code import code_hashes, package_versions
from pisft.records.checkpoint import CheckpointIndex
from pisft.serving import contract
from pisft.serving.client import TOKEN, RemoteError, RemotePolicy


def identity(run_dir: Path) -> dict[str, str]:
    """Return hashes of all that the actions of the checkpoint of `run_dir` depend on besides observations and noise."""
    config = read_resolved(run_dir / "config.json")
    files = CheckpointIndex.read_from(run_dir).files
    code = Path(contract.__file__)  # imports all that is between an observation and its actions
    return {
        "checkpoint_sha256": files["model.safetensors"].sha256,
        "norm_stats_sha256": files["norm_stats.json"].sha256,
        "model_sha256": digest(config.model.model_dump(mode="json", exclude={"base"})),
        "format_sha256": digest(config.format.model_dump(mode="json")),
        "code_sha256": digest(code_hashes(code)),
        "packages_sha256": digest(package_versions(code)),
    }


def served(uri: str, run_dir: Path) -> RemotePolicy:
    """Connect to the policy at `uri`; raises `RemoteError` unless its identity is that of `run_dir`."""
    ours = identity(run_dir)
    policy = RemotePolicy(uri, os.environ.get(TOKEN))
    theirs = {name: policy.metadata.get(name) for name in ours}
    if ours != theirs:
        policy.close()
        lines = [f"{name} is {theirs[name]}, here {ours[name]}" for name in ours if ours[name] != theirs[name]]
        raise RemoteError(
            f"{uri}: serves another policy than that of {run_dir}: {'; '.join(lines)}; "
            "serve the same run folder, with the same code and environment"
        )
    return policy
