"""A refactoring is accepted on evidence: the small version, built by both codes, is the same to the byte."""

import json

import pytest
from typed_project import copy_repository

EXP = "quickstart~smoke"
TARGET = f"results/{EXP}/report.html"
FILE = "workflow/pisft/train/step/optim.py"


def commit(project, message):
    project.run("git", "add", "-A")
    project.run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", message)
    return project.run("git", "rev-parse", "HEAD").stdout.strip()


@pytest.mark.slow
@pytest.mark.long  # five times the small version, from recording to evaluation
@pytest.mark.timeout(1800)
def test_code_that_makes_the_same_bytes_is_accepted_and_other_code_is_not(tmp_path):
    project = copy_repository(tmp_path / "project")
    made_at = commit(project, "as it is")
    project.snakemake("-c2", TARGET)
    text = (project.root / FILE).read_text()

    (project.root / FILE).write_text(text + "\n\nRENAMED = True\n")
    commit(project, "a refactoring")
    assert "train" in project.plan(TARGET)
    said = project.python("tools/why.py", "--accept", TARGET).stdout
    assert f"results/{EXP}/checkpoint.json: accepted\n" in said
    assert project.plan(TARGET) == {"report"}
    record = json.loads((project.root / f"results/{EXP}/provenance/train.json").read_text())
    (accepted,) = record["accepted"]
    assert accepted["commit"] == made_at and f"results/{EXP}/checkpoint/model.safetensors" in accepted["compared"]
    project.snakemake("-c2", TARGET)
    assert f"compared from commit <code>{made_at[:12]}</code>" in (project.root / TARGET).read_text()

    changed = text.replace("peak, end, warmup = train.peak_lr,", "peak, end, warmup = train.peak_lr / 2,")
    assert changed != text
    (project.root / FILE).write_text(changed)
    commit(project, "half the rate")
    before = (project.root / f"results/{EXP}/provenance/train.json").read_bytes()
    refused = project.python("tools/why.py", "--accept", TARGET, check=False)
    assert refused.returncode == 1 and "make different" in refused.stderr
    assert f"results/{EXP}/checkpoint/model.safetensors" in refused.stderr
    assert (project.root / f"results/{EXP}/provenance/train.json").read_bytes() == before
