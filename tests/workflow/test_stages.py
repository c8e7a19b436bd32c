"""A stage says everything about itself in one file, and its rule and its script go by its name."""

import re

import pytest
from pisft.stages import STAGES
from typed_project import ROOT

STAGE = '''
from typing import Any

from pisft.config.experiment import Resolved
from pisft.stages.base import Node, Output
from pisft.stages.experiment import ExperimentStage


class Count(ExperimentStage):
    """Counts the dims of the statistics."""

    name = "count"
    outputs = (Output("results/{name}/count.json", "how many dims there are", dvc="metric"),)
    hashes_in_target = True

    def parents(self, subject: Resolved) -> list[Node]:
        return [Node("norm_stats", subject.name)]

    def slice(self, subject: Resolved) -> dict[str, Any]:
        return {"seed": subject.train.seed}
'''
SCRIPT = '''
"""Count the dims of the statistics."""

from pisft.canonical import write_json
from pisft.cli import experiment_parser, node_of, run
from pisft.provenance.build import building


def main() -> None:
    root, node = node_of("count", experiment_parser(__doc__).parse_args().config)
    with building(node, root) as build:
        write_json(root / node.target, {"dims": 4})
        build.outputs.append(root / node.target)


if __name__ == "__main__":
    run(main)
'''
RULE = """
rule count:
    input:
        stamp("count"),
        config=needs("count", "results/{exp}/config.json"),
        norm_stats=needs("count", "results/{exp}/norm_stats.json"),
    output:
        update("results/{exp}/count.json"),
    shell:
        "python scripts/count.py results/{wildcards.exp:q}/config.json"
"""
TARGET = "results/quickstart/count.json"


@pytest.fixture
def counting(project):
    """A project with a stage of its own."""
    for path, text in (
        ("workflow/pisft/stages/count.py", STAGE),
        ("scripts/count.py", SCRIPT),
        ("rules/count.smk", RULE),
    ):
        (project.root / path).write_text(text)
    project.edit("Snakefile", 'include: "rules/diff.smk"\n', 'include: "rules/diff.smk"\ninclude: "rules/count.smk"\n')
    return project


def test_a_new_stage_is_a_file_a_script_a_rule_and_a_line_of_the_snakefile(counting):
    assert counting.plan(TARGET) == {"count"}
    counting.snakemake("-c1", TARGET)
    assert counting.plan(TARGET) == set() and '"provenance"' in (counting.root / TARGET).read_text()
    assert f"{TARGET}: fresh" in counting.python("tools/why.py", TARGET).stdout
    assert "match their records" in counting.python("tools/verify.py", "results").stdout
    counting.edit("workflow/pisft/stages/count.py", '{"seed": subject.train.seed}', '{"steps": subject.train.steps}')
    assert "count" in counting.plan(TARGET)


def test_a_rule_that_leaves_out_what_its_artefact_is_made_from_is_refused(counting):
    counting.edit("rules/count.smk", 'norm_stats=needs("count", "results/{exp}/norm_stats.json"),', "")
    refused = counting.snakemake("-n", TARGET, check=False)
    assert (
        "count.json is also made from results/{name}/norm_stats.json: name it as an input"
        in refused.stdout + refused.stderr
    )
    counting.edit("rules/count.smk", "results/{exp}/config.json", "results/{exp}/confg.json")
    refused = counting.snakemake("-n", TARGET, check=False)
    assert "no stage makes such a file" in refused.stdout + refused.stderr


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_its_rule_and_its_script_agree(name):
    stage = STAGES[name]
    rule = (ROOT / f"rules/{name}.smk").read_text()
    written = [re.sub(r"\{\w+\}", "{name}", path) for path in re.findall(r'update\(\s*"([^"]+)"', rule)]
    written = [path.replace("{name}..{name}", "{name}") for path in written]
    assert re.match(rf"rule {name}:\n    input:\n        stamp\(\"{name}\"\),\n", rule)
    assert written[0] == stage.target and set(written) <= {output.path for output in stage.outputs}
    assert f"python scripts/{name}.py" in rule and (ROOT / f"scripts/{name}.py").is_file()
    assert f'include: "rules/{name}.smk"' in (ROOT / "Snakefile").read_text()
    assert type(stage).__doc__, "its summary"


def test_every_script_is_of_a_stage():
    assert {path.stem for path in (ROOT / "scripts").glob("*.py")} == set(STAGES)
    assert {path.stem for path in (ROOT / "rules").glob("*.smk")} == {*STAGES, "common"}
