"""Copies a built experiment to a folder with a model card, and uploads it to the hub. Start from `assemble`."""

from __future__ import annotations

import shutil
from pathlib import Path

from pisft.canonical import write_text
from pisft.config import read_resolved
from pisft.errors import PisftError
from pisft.export.card import card, keys_of
from pisft.export.checkpoint import replacing
from pisft.records.evaluation import Evaluation

LAYOUTS = {"checkpoint": "checkpoint", "lerobot": "export/lerobot", "openpi": "export/openpi"}
MARK = "experiment.json"  # with its record, in every folder that `assemble` wrote
OURS = """In a model of pi-sft, `base: {path: <this folder>}`: an experiment starts from it, or, with
`train: {steps: 0}`, evaluates and serves it as it is. `model.safetensors` has openpi's names."""
OPENPI = "openpi's PyTorch policies and RLinf load this folder as it is."


class UploadError(PisftError):
    """An experiment that is not ready to be uploaded, or a target that refuses it."""


def assemble(run_dir: Path, layout: str, license: str, target: Path) -> list[Path]:
    """Copy `layout` of the experiment in `run_dir` to `target`, with its configuration, its evaluation, its provenance
    and README.md; returns the files.

    A folder that was not written by this is never replaced. Raises `UploadError`.
    """
    source = run_dir / LAYOUTS[layout]
    if not source.is_dir():
        how = "checkpoint.json" if layout == "checkpoint" else f"export/{layout}/"
        raise UploadError(f"{source}: is missing; build {run_dir}/{how} with snakemake first")
    if target.exists() and any(target.iterdir()) and not _ours(target):
        raise UploadError(f"{target}: holds other files; expected an empty or a new folder")
    evaluation = Evaluation.read_from(run_dir)
    config = read_resolved(run_dir / "config.json")
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as new:
        shutil.copytree(source, new, dirs_exist_ok=True)
        shutil.copytree(run_dir / "provenance", new / "provenance", ignore=shutil.ignore_patterns("*.previous.json"))
        shutil.copyfile(run_dir / "config.json", new / MARK)
        shutil.copyfile(run_dir / "eval.json", new / "eval.json")
        readme = new / "README.md"
        use = {"checkpoint": OURS, "openpi": OPENPI}.get(layout) or _body(readme.read_text())
        write_text(readme, card(config, evaluation, keys_of(run_dir), license, run_dir.name, use))
    return sorted(path for path in target.rglob("*") if path.is_file())


def upload(folder: Path, repo: str, private: bool) -> str:
    """Create the model `repo` on the hub if it is missing, and replace its files by those of `folder`; returns its URL.

    With `private`, nothing is uploaded to a repository that is already public.
    The token is the one that `hf auth login` stored, or HF_TOKEN. Raises `UploadError`.
    """
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    api = HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        if private and not api.repo_info(repo).private:
            raise UploadError(f"{repo}: exists and is public; nothing was uploaded: give --public, or another name")
        told = api.upload_folder(
            repo_id=repo, folder_path=folder, commit_message="Uploaded by pi-sft", delete_patterns="*"
        )
    except LocalTokenNotFoundError as error:
        raise UploadError(f"{repo}: no token for the hub; run: hf auth login") from error
    except (HFValidationError, HfHubHTTPError, httpx.HTTPError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UploadError(f"{repo}: the upload failed: {reason}; see hf auth whoami and HF_ENDPOINT") from error
    return str(told.repo_url if hasattr(told, "repo_url") else told)


def _ours(target: Path) -> bool:
    """Return whether `assemble` wrote the folder, which may then be replaced; False for a clone, which has history."""
    marked = all((target / file).is_file() for file in (MARK, "provenance/train.json"))
    return marked and not (target / ".git").exists()


def _body(readme: str) -> str:
    """Return a README without its title."""
    return readme.partition("\n")[2].strip()
