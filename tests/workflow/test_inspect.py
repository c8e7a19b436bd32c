"""A dataset's inspection is an artefact like the others, and what it proposes is a format that experiments can use."""

import shutil

import pytest
from known_robots import libero

EXPERIMENT = "extends: quickstart\nformat: mine\ndatasets: [{name: mine}]\neval: {closed_loop: null}\n"
TARGET = "data/mine/inspection.html"


@pytest.fixture
def project(bare_project):
    """A project with a local dataset that nobody has looked at."""
    libero(bare_project.root / "recordings")
    (bare_project.root / "config/datasets/mine.yaml").write_text("source: local\npath: recordings\n")
    return bare_project


def test_it_is_built_once_and_what_it_proposes_is_a_format(project):
    assert project.plan(TARGET) == {"make_dataset", "inspect_dataset"}
    project.snakemake(TARGET)
    assert project.plan(TARGET) == set()
    told = project.python("tools/why.py", TARGET).stdout.splitlines()
    assert [line.partition(" (key")[0] for line in told] == [
        "data/mine/manifest.json: fresh",
        f"{TARGET}: fresh",
    ]
    first = (project.root / TARGET).read_bytes()
    project.python("scripts/inspect_dataset.py", "data/mine/lerobot")
    assert (project.root / TARGET).read_bytes() == first

    shutil.copy(project.root / "data/mine/inspection.yaml", project.root / "config/formats/mine.yaml")
    (project.root / "config/experiments/mine.yaml").write_text(EXPERIMENT)
    assert project.plan("results/mine/norm_stats.json") == {"resolve", "norm_stats"}

    info = project.root / "recordings/meta/info.json"
    info.write_text(info.read_text().replace("delta_x", "push_x"))
    assert project.plan(TARGET) == {"make_dataset", "inspect_dataset"}


def test_other_options_do_not_write_over_what_the_rule_makes(project):
    project.python("scripts/make_dataset.py", "mine")
    result = project.python("scripts/inspect_dataset.py", "data/mine/lerobot", "--variant", "pi05", check=False)
    assert result.returncode == 1 and "say --out" in result.stderr
    assert not (project.root / TARGET).exists()
