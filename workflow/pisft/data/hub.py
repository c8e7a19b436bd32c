"""A hub dataset at one pinned revision, each file as the hub lists it: start from `fetch`.

The hub's client alone would wait for ever for a listing, take what lies in the folder for the dataset when the network
is gone, keep the files of another revision, and compare no content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pisft.config.dataset import HubDataset
from pisft.data.errors import DataError
from pisft.data.manifest import files_of, is_hidden

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

PATIENCE = 10.0  # s, for the hub's first answer


def fetch(origin: HubDataset, folder: Path) -> dict[str, Any]:
    """Download the revision into `folder`, where whole files stay and others go; facts for the manifest.

    An interrupted download goes on where it was. Raises `DataError`: without a network, at once.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.hf_api import RepoFile

    hub, repo = HfApi(), {"repo_id": origin.repo, "repo_type": "dataset"}
    try:
        commit = hub.repo_info(**repo, revision=origin.revision, timeout=PATIENCE).sha
        tree = hub.list_repo_tree(**repo, revision=commit, recursive=True)
        listed = {entry.path: entry for entry in tree if isinstance(entry, RepoFile) and not is_hidden(entry.path)}
        if folder.is_dir():
            for name, path in files_of(folder).items():
                if name not in listed or path.stat().st_size != listed[name].size:
                    path.unlink()
        snapshot_download(**repo, revision=commit, local_dir=folder)
    except Exception as error:
        # the hub client raises a dozen types (offline, gated, absent, cut off), all with one remedy
        raise DataError(
            f"{origin.repo} at {origin.revision}: could not be fetched from the hub: {_first_line(error)}; check the "
            "network, the name and the revision, set HF_ENDPOINT for a mirror (and HF_HUB_DISABLE_XET=1, if it has no "
            "xet storage) or HF_TOKEN for a gated repo, or say `source: local` with the `path` of a copy (or "
            f"`name: {origin.repo}`, where lerobot has one)"
        ) from error
    _check(folder, listed)
    return {"repo": origin.repo, "revision": origin.revision, "commit": commit}


def _check(folder: Path, listed: Mapping[str, RepoFile]) -> None:
    """Every listed file is there with the listed content; one that is not is removed, to be fetched again."""
    found = files_of(folder)
    wrong = [name for name, entry in listed.items() if name in found and not _is(found[name], entry)]
    for name in wrong:
        found[name].unlink()
    wrong += sorted(listed.keys() - found.keys())
    if wrong:
        raise DataError(
            f"{folder / wrong[0]}: did not come as the hub lists it ({len(wrong)} such files); run the same command "
            "again, from another mirror (HF_ENDPOINT) if that does not help"
        )


def _is(file: Path, entry: RepoFile) -> bool:
    """Large files are listed with their sha256, small ones with git's own hash."""
    size = file.stat().st_size
    if size != entry.size:
        return False
    with open(file, "rb") as content:
        if entry.lfs is not None:
            return hashlib.file_digest(content, "sha256").hexdigest() == entry.lfs.sha256
        blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        return hashlib.file_digest(content, lambda: blob).hexdigest() == entry.blob_id


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
