"""What each stage of an experiment really calls is in its key."""

import ast
import json
from pathlib import Path

import pytest
from mutation import places
from pisft.config import resolve
from pisft.provenance.code import code_hashes, is_left_out, of_simulator
from pisft.stages import STAGES

ROOT = Path(__file__).parents[2]
EXP = "quickstart~smoke"
CONFIG = f"results/{EXP}/config.json"


@pytest.mark.slow
@pytest.mark.long
def test_every_function_that_a_stage_calls_counts(bare_project):
    config = resolve(EXP, ROOT)
    data = config.datasets[0].name
    commands = {
        "resolve": ["resolve.py", EXP],
        "make_dataset": ["make_dataset.py", data],
        "make_frames": [
            "make_frames.py",
            f"data/{data}/frames/{config.format.keys('cameras')[0]}.{config.model.image_size}",
        ],
        "inspect_dataset": ["inspect_dataset.py", f"data/{data}/lerobot"],
        "norm_stats": ["norm_stats.py", CONFIG, "--workers", "1"],
        "train": ["train.py", CONFIG],
        "evaluate": ["evaluate.py", CONFIG, "--workers", "1"],
        "export_lerobot": ["export_lerobot.py", CONFIG],
        "export_openpi": ["export_openpi.py", CONFIG],
        "report": ["report.py", CONFIG],
        "diff": ["diff.py", EXP, EXP, "--write", "--exit-zero"],
    }
    simulators = {"evaluate": config.simulators[config.eval.closed_loop.simulator]}
    counted = 0
    for stage, (script, *arguments) in commands.items():
        out = bare_project.root / "called.json"
        bare_project.python(str(ROOT / "tests/watched.py"), str(out), f"scripts/{script}", *arguments)
        assert STAGES[stage].script == script
        implied = of_simulator(simulators[stage]) if stage in simulators else ()
        hashes = code_hashes(ROOT / "scripts" / script, *implied)
        called = json.loads(out.read_text())
        missing = [f"{module}: {name}" for module, name in called if not counts(module, name, hashes)]
        assert not missing, f"{stage} calls what is not in its key: {', '.join(missing)}"
        counted += len(called)
    assert counted > 500


def counts(module: str, name: str, hashes: dict[str, str]) -> bool:
    """Whether the function is in `hashes`; validators and what pydantic itself calls show in the values."""
    top = name.split(".")[0]
    file = module.replace(".", "/")
    labels = [f"{file}.py", f"{file}/__init__.py", f"{file}.py:{top}"]
    if is_left_out(module, top) or any(label in hashes for label in labels):
        return True
    source = ROOT / "workflow" / f"{file}.py"
    return module.startswith("pisft.config.") and ("function", name) not in places(ast.parse(source.read_text()))
