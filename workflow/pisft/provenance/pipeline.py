"""What DVC is told: which stages a paper has, what they read and what they leave. Start from `pipelines`.

DVC owns versioned bytes, Snakemake the graph: a paper is one coarse stage whose command asks Snakemake, which runs
what can run at once, on a cluster too. An artefact belongs to exactly one stage in one file: a dataset and converted
base weights have a stage of their own, an experiment is in its paper's, and what two papers share is at the root of
the default paper, or else in papers/dvc.yaml. On what machine something was made, and how fast, is nothing that DVC is
told: it would be another everywhere.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from pisft.config import load_dataset, load_paper, papers, resolve
from pisft.config.base import noting_files
from pisft.config.dataset import GeneratedDataset, LocalDataset
from pisft.config.experiment import load_model, load_simulator
from pisft.provenance.graph import Node, lineage

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
        stages = _roots(own, root) | _experiments(own, nodes, root) | _table(paper, root)
        at_root = paper == DEFAULT
        path = "dvc.yaml" if at_root else f"papers/{paper}/dvc.yaml"
        title = load_paper(paper, root).title
        found[path] = _text(title, "" if at_root else f" {path}", stages, None if at_root else "../..")
    if shared:
        unique = list(dict.fromkeys(shared))
        stages = _roots(unique, root) | _experiments(unique, unique, root)
        found["papers/dvc.yaml"] = _text("What several of the papers share", " papers/dvc.yaml", stages, "..")
    return found


class _Dumper(yaml.SafeDumper):
    """A line an item: flags in braces, a file's params as `file:`, and no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        return super().represent_mapping(tag, mapping, flow_style="persist" in mapping)


_Dumper.add_representer(type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", ""))


def _text(title: str, target: str, stages: dict[str, Any], wdir: str | None) -> str:
    where = {"wdir": wdir} if wdir else {}
    content = {"stages": {name: where | stage for name, stage in stages.items()}}
    return HEADER.format(title=title, target=target) + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=120)


def _roots(nodes: list[Node], root: Path) -> dict[str, Any]:
    """A stage for each dataset and each model's converted base weights."""
    stages = {}
    for node in nodes:
        folder = node.target.rpartition("/")[0]
        kept = [node.target, node.provenance]
        if node.stage == "dataset":
            if not isinstance(load_dataset(node.name, root).origin, LocalDataset):
                kept.insert(0, f"{folder}/lerobot")
        elif node.stage != "base":
            continue
        stages[f"{node.stage}-{node.name}"] = {
            "cmd": f"snakemake {node.target}",
            "deps": CODE,
            "params": [{file: None} for file in _files(node, root)],
            "outs": _persistent(kept),
        }
    return stages


def _experiments(own: list[Node], nodes: list[Node], root: Path) -> dict[str, Any]:
    """One stage: Snakemake runs its experiments side by side."""
    names = list(dict.fromkeys(node.name for node in own if node.stage == "config"))
    if not names:
        return {}
    files: dict[str, None] = {}
    outs, metrics, plots = [], [], []
    for name in names:
        files |= dict.fromkeys(_files(Node("config", name), root))
        folder = f"results/{name}"
        outs += [f"{folder}/{out}" for out in _left(name, root)]
        metrics.append(f"{folder}/eval.json")
        plots.append({f"{folder}/metrics.csv": {"x": "step", "y": "loss", "persist": True}})
    read = [node.target for node in nodes if node.stage in ("dataset", "base")]
    other = [node.target for node in nodes if node.stage in ("norm_stats", "checkpoint") and node.name not in names]
    return {
        "experiments": {
            "cmd": "snakemake " + " ".join(f"results/{name}/report.html" for name in names),
            "deps": [*CODE, *dict.fromkeys(read + other)],
            "params": [{file: None} for file in files],
            "outs": _persistent(outs),
            "metrics": _persistent(metrics),
            "plots": plots,
        }
    }


def _table(paper: str, root: Path) -> dict[str, Any]:
    node = Node("paper", paper)
    return {
        "table": {
            "cmd": f"snakemake {node.target} --quiet all && python scripts/paper.py {paper}",
            "deps": [*CODE, *(f"results/{name}/eval.json" for name in load_paper(paper, root).experiments)],
            "params": [{f"config/papers/{paper}.yaml": None}],
            "outs": _persistent([node.target, f"results/papers/{paper}/report.html", node.provenance]),
        }
    }


def _left(name: str, root: Path) -> list[str]:
    """What an experiment leaves that is worth keeping; its logs, its timing, the machine it was made on and the state
    of its training are not. Of its records, those of what is kept: an export has one of its own."""
    rolled = ["rollouts.safetensors", "videos"] if resolve(name, root).eval.closed_loop else []
    stats = ["norm_stats.json", "norm_stats.report.json", "norm_stats.report.png"]
    records = [f"provenance/{stage}.json" for stage in ("config", "norm_stats", "checkpoint", "eval", "report")]
    return ["config.json", *stats, "checkpoint.json", "checkpoint", "traces.json", *rolled, "report.html", *records]


def _files(node: Node, root: Path) -> list[str]:
    """Every file of the configuration that decides what `node` is."""
    with noting_files() as files:
        if node.stage == "dataset":
            if isinstance(origin := load_dataset(node.name, root).origin, GeneratedDataset):
                load_simulator(origin.simulator, root, node.target, "simulator")
        elif node.stage == "base":
            load_model(node.name, root)
        else:
            resolve(node.name, root)
    return [path.relative_to(root).as_posix() for path in files]


def _persistent(paths: list[str]) -> Outs:
    """DVC deletes what a stage leaves before it runs, unless told; an interrupted training goes on from it."""
    return [{path: {"persist": True}} for path in paths]
