"""What was made here is told from what was committed, with what is known to cause it; DVC's own hashes are compared."""

import subprocess
from pathlib import Path

import pytest
from pisft.canonical import digest
from pisft.provenance.committed import beside_lock
from pisft.records.provenance import KEYED, Record

FILES = {
    "norm_stats.json": "{}",
    "config.json": "{}",
    "checkpoint/model.safetensors": "weights",
    "checkpoint/deeper/model.json": "{}",
    "rollouts.safetensors": "rollouts",
}


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory) -> Path:
    """A project whose experiment `one` is in its committed dvc.lock."""
    root = tmp_path_factory.mktemp("project")

    def run(*command: str) -> None:
        subprocess.run(command, cwd=root, check=True, capture_output=True)

    for path, text in FILES.items():
        (root / "results/one" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "results/one" / path).write_text(text)
    (root / "uv.lock").write_text("versions")
    run("git", "init", "--quiet")
    run("dvc", "init", "--quiet")
    outs = [word for name in sorted({path.split("/")[0] for path in FILES}) for word in ("-o", f"results/one/{name}")]
    run("dvc", "stage", "add", "--name", "paper", "-d", "uv.lock", *outs, "true")
    run("dvc", "commit", "--force")
    run("git", "add", "dvc.lock", "dvc.yaml", "uv.lock")
    run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "Reproduced")
    return root


@pytest.fixture
def project(reproduced) -> Path:
    for path, text in FILES.items():
        (reproduced / "results/one" / path).write_text(text)
    (reproduced / "uv.lock").write_text("versions")
    record = reproduced / "results/one/provenance/train.json"
    record.unlink(missing_ok=True)
    return reproduced


def test_the_same_bits_are_told(project):
    assert beside_lock("one", project) == (
        "one: statistics, checkpoint and success: bit for bit those of the committed dvc.lock"
    )


def test_other_bits_are_told_and_that_nobody_knows_why(project):
    (project / "results/one/checkpoint/deeper/model.json").write_text("[]")
    assert beside_lock("one", project) == (
        "one: checkpoint: not those of the committed dvc.lock (no cause is known, so please report it); "
        "statistics and success: bit for bit the same"
    )


def record(arithmetic: str) -> Record:
    made_from = {"config": {}, "code": {}, "packages": {}, "parents": {}, "pins": {}}
    new = Record(stage="train", **made_from, key="", outputs={}, uv_lock=None, arithmetic=arithmetic)
    return new.model_copy(update={"key": digest(new.model_dump(mode="json", include=set(KEYED)))})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ("gpu", "computed on a GPU"),
        ("native", "computed with native arithmetic"),
        ("results/one/config.json", "another configuration"),
        ("uv.lock", "other versions of packages: uv.lock; the project changed since commit"),
    ],
)
def test_a_known_cause_is_named(project, changed, reason):
    (project / "results/one/norm_stats.json").write_text("[]")
    if changed in ("gpu", "native"):
        record(changed).write(project / "results/one/provenance/train.json")
    else:
        (project / changed).write_text("[]")
    assert beside_lock("one", project).startswith(f"one: statistics: not those of the committed dvc.lock ({reason}")


def test_what_no_lock_knows_is_not_compared(project, tmp_path):
    assert beside_lock("other", project) is None
    assert beside_lock("one", tmp_path) is None
