"""What comes out depends on no number of cores: the same bytes with one and with four."""

import json

import pytest
from typed_project import copy_project

EXPERIMENTS = ["quickstart", "quickstart_pi05", "quickstart_lora_scratch"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [EXPERIMENTS[0], *(pytest.param(name, marks=pytest.mark.long) for name in EXPERIMENTS[1:])]
)
def test_the_number_of_cores_changes_no_byte(tmp_path, name):
    outputs = []
    for cores in (1, 4):
        project = copy_project(tmp_path / str(cores))
        project.snakemake(f"-c{cores}", f"results/{name}~smoke/report.html")
        records = [*project.root.glob("data/**/provenance.json"), *project.root.glob("results/*/provenance/*.json")]
        outputs.append({k: v for path in records for k, v in json.loads(path.read_text())["outputs"].items()})
        assert len(outputs[0]) > 20
        different = [path for path, facts in outputs[0].items() if outputs[-1].get(path) != facts]
        assert not different and outputs[-1].keys() == outputs[0].keys(), f"-c{cores}: {', '.join(different)}"
