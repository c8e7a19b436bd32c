"""An export is an artefact like any other: planned where it is missing, recorded with all of its files."""

import json
import shutil

import pytest
from pisft.canonical import file_facts, write_json
from pisft.config import ModelConfig
from tiny_checkpoint import make_checkpoint
from typed_project import ROOT

TARGETS = {"lerobot": "export/lerobot/config.json", "openpi": "export/openpi/model.safetensors"}


@pytest.fixture
def exportable(project):
    """The built quickstart with weights in place of the stand-in."""
    shutil.rmtree(project.root / "results/quickstart/checkpoint")
    model = ModelConfig.from_yaml(ROOT / "config/models/quickstart.yaml")
    make_checkpoint(project.root, model, "quickstart", cameras={"base_0_rgb": "observation.image"})
    run = project.root / "results/quickstart"
    record = json.loads((run / "provenance/train.json").read_text())
    files = [run / "checkpoint.json", *(run / "checkpoint").iterdir()]
    outputs = {path.relative_to(project.root).as_posix(): file_facts(path) for path in files}
    write_json(run / "provenance/train.json", record | {"outputs": outputs})
    return project


@pytest.mark.parametrize("to", TARGETS)
def test_a_missing_export_of_a_fresh_checkpoint_is_all_that_is_planned(project, to):
    assert project.plan(f"results/quickstart/{TARGETS[to]}") == {f"export_{to}"}


@pytest.mark.parametrize("to", TARGETS)
def test_the_script_records_every_file_and_prints_what_the_other_side_does_otherwise(exportable, to):
    output = exportable.python(f"scripts/export_{to}.py", "results/quickstart/config.json").stdout
    folder = exportable.root / f"results/quickstart/export/{to}"
    record = json.loads((exportable.root / f"results/quickstart/provenance/export_{to}.json").read_text())
    files = {path.relative_to(exportable.root).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(record["outputs"]) == files and f"results/quickstart/{TARGETS[to]}" in files
    assert "- Size: " in output and output.split("- Size: ")[1].splitlines()[0] in (folder / "README.md").read_text()
    assert str(exportable.root) not in "".join(path.read_text() for path in folder.rglob("*.json"))
    reasons = exportable.python("tools/why.py", f"results/quickstart/{TARGETS[to]}", check=False).stdout
    assert any(TARGETS[to] in line and "fresh" in line for line in reasons.splitlines()), reasons


def test_a_repo_id_is_openpis(exportable):
    arguments = ("results/quickstart/config.json", "--repo-id", "me/mine")
    refused = exportable.python("scripts/export_lerobot.py", *arguments, check=False)
    assert refused.returncode == 2 and "unrecognized arguments: --repo-id" in refused.stderr
    exportable.python("scripts/export_openpi.py", *arguments)
    statistics = sorted((exportable.root / "results/quickstart/export/openpi").rglob("norm_stats.json"))
    places = [path.parent.relative_to(exportable.root / "results/quickstart/export/openpi") for path in statistics]
    expected = ["assets/me/mine", "assets/metaworld_quickstart", "me/mine", "metaworld_quickstart"]
    assert [place.as_posix() for place in places] == expected
