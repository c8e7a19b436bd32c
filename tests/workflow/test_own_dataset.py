"""A person brings a dataset with three small files and no Python, as README says."""

import json
import re
import shutil
from pathlib import Path

import pytest
from typed_project import ROOT

pytestmark = pytest.mark.slow


def readme_files() -> dict[str, str]:
    """Path → content of the files that README's section on one's own dataset tells to write."""
    section = (ROOT / "README.md").read_text().split("## Your own dataset")[1].split("\n## ")[0]
    blocks = re.findall(r"```yaml\n# (config/\S+)\n(.*?)```", section, re.DOTALL)
    return dict(blocks)


def test_readmes_three_files_make_a_report(bare_project, video_dataset):
    files = readme_files()
    assert sorted(Path(path).parent.name for path in files) == ["datasets", "experiments", "formats"]
    shutil.copytree(video_dataset, bare_project.root / "my_robot")
    # the dataset at hand has one camera and four dims where README's robot has two and seven, and short episodes
    edits = {
        "~/datasets/my_robot": "my_robot",
        "observation.images.front, left_wrist_0_rgb: observation.images.wrist": "observation.image",
        "[6, -1]": "[3, -1]",
        "action_horizon: 50": "action_horizon: 10",
    }
    for path, content in files.items():
        for old, new in edits.items():
            content = content.replace(old, new)
        (bare_project.root / path).write_text(content)
    with (bare_project.root / "config/experiments/my_robot.yaml").open("a") as file:
        file.write("split: {heldout_fraction: 0.3}\ntrain: {steps: 3, global_batch_size: 2, warmup_steps: 1}\n")

    bare_project.snakemake("results/my_robot/report.html")

    evaluation = json.loads((bare_project.root / "results/my_robot/eval.json").read_text())
    assert evaluation["closed_loop"] is None
    assert evaluation["open_loop"]["flow_loss"] > 0
    page = (bare_project.root / "results/my_robot/report.html").read_text()
    assert "my_robot" in page and "Success" not in page
    assert bare_project.plan("results/my_robot/report.html") == set()
    assert not list((bare_project.root / "my_robot").rglob("*.json.tmp")), "the dataset is never written"
