"""Makes a paper's dvc.yaml: its stages, their inputs and their outputs. Start from `pipelines`.

DVC owns versioned bytes, Snakemake the graph: a paper is one coarse stage whose command asks Snakemake, which runs
what can run at once, on a cluster too. An artefact belongs to exactly one stage in one file: a dataset and converted
base weights have a stage of their own, an experiment is in its paper's, and what two papers share is at the root of
the default paper, or else in papers/dvc.yaml. On what machine something was made, and how fast, is nothing that DVC is
told: it would be another everywhere.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, override

import yaml

from pisft.config import load_paper, papers
from pisft.config.base import noting_files
from pisft.provenance.graph import lineage
from pisft.stages import Node, Output
from pisft.stages.base import subject

DEFAULT = "quickstart"
# What may make a result stale besides its configuration; asking again where nothing is stale costs seconds.
CODE = ["Snakefile", "rules", "scripts", "workflow/pisft", "envs", "uv.lock"]
HEADER = """# {title}: dvc repro{target}
# Made from config/papers/ by `make papers`; the results are described in results/README.md.
"""
Outs = list[dict[str, Any]]


def pipelines(root: Path = Path()) -> dict[str, str]:
    """Path → text of each dvc.yaml."""
    lines = {paper: lineage(Node("paper", paper), root) for paper in papers(root)}
    used = Counter(node for nodes in lines.values() for node in nodes if node.stage != "paper")
    default = set(lines[DEFAULT])
    shared = [node for nodes in lines.values() for node in nodes if used[node] > 1 and node not in default]
    found = {}
    for paper, nodes in lines.items():
        own = [node for node in nodes if paper == DEFAULT or (node not in default and node not in shared)]
        stages = _roots(own, root) | _experiments(own, root) | _table(paper, root)
        at_root = paper == DEFAULT
        path = "dvc.yaml" if at_root else f"papers/{paper}/dvc.yaml"
        title = load_paper(paper, root).title
        found[path] = _text(title, "" if at_root else f" {path}", stages, None if at_root else "../..")
    if shared:
        unique = list(dict.fromkeys(shared))
        stages = _roots(unique, root) | _experiments(unique, root)
        found["papers/dvc.yaml"] = _text("What several of the papers share", " papers/dvc.yaml", stages, "..")
    return found


class _Dumper(yaml.SafeDumper):
    """A line an item: flags in braces, a file's params as `file:`, and no anchors."""

    @override
    def ignore_aliases(self, data: Any) -> bool:
        return True

    @override
    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        return super().represent_mapping(tag, mapping, flow_style="persist" in mapping)


_Dumper.add_representer(type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", ""))


def _text(title: str, target: str, stages: dict[str, Any], wdir: str | None) -> str:
    where = {"wdir": wdir} if wdir else {}
    content = {"stages": {name: where | stage for name, stage in stages.items()}}
    return HEADER.format(title=title, target=target) + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=120)


def _roots(nodes: list[Node], root: Path) -> dict[str, Any]:
    """A stage for each artefact that is of no experiment: datasets, and converted base weights."""
    return {
        f"{node.stage}-{node.name}": {
            "cmd": f"snakemake {node.target}",
            "deps": CODE,
            "params": [{file: None} for file in _files(node, root)],
            "outs": _persistent([*_outputs(node, "out", root), node.provenance]),
        }
        for node in nodes
        if not node.definition.of_experiment and not node.definition.parents(subject(node, root))
    }


def _experiments(own: list[Node], root: Path) -> dict[str, Any]:
    """One stage: Snakemake runs its experiments side by side."""
    goals = [Node("report", node.name) for node in own if node.stage == "resolve"]
    if not goals:
        return {}
    names = {goal.name for goal in goals}
    before = dict.fromkeys(node for goal in goals for node in lineage(goal, root))
    nodes = [node for node in before if node.definition.of_experiment and node.name in names]
    read = [parent for node in nodes for parent in node.definition.parents(subject(node, root)) if parent not in nodes]
    read.sort(key=lambda parent: parent.definition.of_experiment)  # data and base weights first
    files = dict.fromkeys(file for goal in goals for file in _files(goal, root))
    outs = [path for node in nodes for path in [*_outputs(node, "out", root), node.provenance]]
    return {
        "experiments": {
            "cmd": "snakemake " + " ".join(goal.target for goal in goals),
            "deps": [*CODE, *dict.fromkeys(parent.target for parent in read)],
            "params": [{file: None} for file in files],
            "outs": _persistent(outs),
            "metrics": _persistent([path for node in nodes for path in _outputs(node, "metric", root)]),
            "plots": [
                {output.path: {"x": output.axes[0], "y": output.axes[1], "persist": True}}
                for node in nodes
                for output in _written(node, root)
                if output.dvc == "plot"
            ],
        }
    }


def _table(paper: str, root: Path) -> dict[str, Any]:
    node = Node("paper", paper)
    return {
        "table": {
            "cmd": f"snakemake {node.target} --quiet all && python scripts/paper.py {paper}",
            "deps": [*CODE, *(parent.target for parent in node.definition.parents(subject(node, root)))],
            "params": [{f"config/papers/{paper}.yaml": None}],
            "outs": _persistent([*_outputs(node, "out", root), node.provenance]),
        }
    }


def _written(node: Node, root: Path) -> list[Output]:
    return node.definition.written(node.name, subject(node, root))


def _outputs(node: Node, dvc: str, root: Path) -> list[str]:
    """The paths that `node` leaves for DVC to take as `dvc`, folders before the files that list them."""
    paths = [output.path for output in _written(node, root) if output.dvc == dvc]
    return [*paths[1:], *paths[:1]]


def _files(node: Node, root: Path) -> list[str]:
    """Every file of the configuration that decides what `node` is."""
    with noting_files() as files:
        node.definition.read(node.name, root)
    return [path.relative_to(root).as_posix() for path in files]


def _persistent(paths: list[str]) -> Outs:
    """DVC deletes the outputs of a stage before it runs, unless they persist; an interrupted training needs them."""
    return [{path: {"persist": True}} for path in paths]
