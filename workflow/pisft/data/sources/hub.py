"""Fetches a hub dataset at one pinned revision and verifies it: start from `fetch`, or `fetch_file` for one file.

The hub's client alone would wait forever for a listing, take whatever is in the folder for the dataset when offline,
keep files of another revision, and not verify any content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pisft.canonical import write_json
from pisft.config.dataset import HubDataset
from pisft.data.errors import DataError
from pisft.data.sources.manifest import files_of, is_hidden
from pisft.verified import read_notes

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

PATIENCE = 10.0  # s, for the hub's first answer


def fetch(origin: HubDataset, folder: Path) -> dict[str, Any]:
    """Download the revision into `folder`; returns facts for the manifest. Intact files stay, others are removed.

    An interrupted download resumes; a complete one needs no network again, since its listing is saved beside it. Raises
    `DataError`, without a network at once.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.hf_api import RepoFile

    notes = folder.with_name(f"{folder.name}.json")
    known = read_notes(notes)
    if (known.get("repo"), known.get("revision")) == (origin.repo, origin.revision) and folder.is_dir():
        found = files_of(folder)
        if found.keys() == known["files"].keys() and all(_is(found[n], entry) for n, entry in known["files"].items()):
            return {key: known[key] for key in ("repo", "revision", "commit")}
    hub = HfApi()
    try:
        commit = hub.repo_info(repo_id=origin.repo, repo_type="dataset", revision=origin.revision, timeout=PATIENCE).sha
        tree = hub.list_repo_tree(repo_id=origin.repo, repo_type="dataset", revision=commit, recursive=True)
        listed = {e.path: _entry(e) for e in tree if isinstance(e, RepoFile) and not is_hidden(e.path)}
        if folder.is_dir():
            for name, path in files_of(folder).items():
                if name not in listed or path.stat().st_size != listed[name]["size"]:
                    path.unlink()
        snapshot_download(repo_id=origin.repo, repo_type="dataset", revision=commit, local_dir=folder)
    except Exception as error:
        # the hub client raises a dozen types (offline, gated, absent, cut off), all with one remedy
        raise DataError(
            f"{origin.repo} at {origin.revision}: could not be fetched from the hub: {_first_line(error)}; check the "
            "network, the name and the revision, set HF_ENDPOINT for a mirror (and HF_HUB_DISABLE_XET=1, if it has no "
            "xet storage) or HF_TOKEN for a gated repo, or say `source: local` with the `path` of a copy (or "
            f"`name: {origin.repo}`, where lerobot has one)"
        ) from error
    _check(folder, listed)
    facts = {"repo": origin.repo, "revision": origin.revision, "commit": commit}
    write_json(notes, {**facts, "files": listed})
    return facts


def fetch_file(repo: str, name: str, revision: str | None = None) -> Path:
    """Return one file of a model's repo, from the client's cache or the hub.

    Raises the client's error, after 10 s if the hub does not answer.
    """
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repo, name, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        HfApi().repo_info(repo, revision=revision, timeout=PATIENCE)  # the download itself would try for minutes
    return Path(hf_hub_download(repo, name, revision=revision))


def list_files(repo: str, revision: str) -> list[str]:
    """Return the names of the files in a model's repo; without the hub, of those cached at this revision.

    Raises `DataError` if neither is available.
    """
    from huggingface_hub import HfApi, snapshot_download

    try:
        commit = HfApi().repo_info(repo, revision=revision, timeout=PATIENCE).sha
        return HfApi().list_repo_files(repo, revision=commit)
    except Exception as error:  # noqa: BLE001  the client raises a dozen types, as above
        try:
            folder = Path(snapshot_download(repo, revision=revision, local_files_only=True))
        except Exception:  # noqa: BLE001  the same
            raise DataError(
                f"{repo} at {revision}: its files cannot be listed: {_first_line(error)}; check the network, the name "
                "and the revision, or download it and name its folder as model.base.path"
            ) from error
        return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _entry(file: RepoFile) -> dict[str, Any]:
    """Return size and hash of a file: the hub lists large files with their sha256, small ones with git's blob hash."""
    return {"size": file.size, **({"sha256": file.lfs.sha256} if file.lfs is not None else {"blob": file.blob_id})}


def _check(folder: Path, listed: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `DataError` unless every listed file has the listed content; removes those that differ."""
    found = files_of(folder)
    wrong = [name for name, entry in listed.items() if name in found and not _is(found[name], entry)]
    for name in wrong:
        found[name].unlink()
    wrong += sorted(listed.keys() - found.keys())
    if wrong:
        raise DataError(
            f"{folder / wrong[0]}: differs from the hub's listing ({len(wrong)} such files); run the same command "
            "again, from another mirror (HF_ENDPOINT) if that does not help"
        )


def _is(file: Path, entry: Mapping[str, Any]) -> bool:
    size = file.stat().st_size
    if size != entry["size"]:
        return False
    with open(file, "rb") as content:
        if "sha256" in entry:
            return hashlib.file_digest(content, "sha256").hexdigest() == entry["sha256"]
        blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        return hashlib.file_digest(content, lambda: blob).hexdigest() == entry["blob"]


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
