"""The workflow reads well, starts fast, and tells an unknown name from a known one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_lint_has_no_remark_but_that_the_environment_is_locked_elsewhere(bare_project):
    output = bare_project.snakemake("--lint", check=False)
    remarks = {line.strip() for line in (output.stdout + output.stderr).splitlines() if line.startswith("    * ")}
    assert remarks <= {"* Specify a conda environment or container for each rule.:"}


def test_planning_imports_no_torch(bare_project):
    code = "import sys, snakemake.cli as c\ntry: c.main(sys.argv[1:])\nexcept SystemExit as e: assert not e.code\n"
    check = "print('heavy:', sorted({'torch', 'lerobot', 'mujoco', 'transformers'} & set(sys.modules)))"
    result = bare_project.run(sys.executable, "-c", code + check, "-n", "results/quickstart/report.html")
    assert "heavy: []" in result.stdout
    assert "Job stats:" in result.stdout


MISSION = sorted(path.stem for path in (ROOT / "config/formats").glob("pi0*.yaml"))


@pytest.mark.parametrize("name", MISSION)
def test_every_published_recipe_plans_from_its_weights_and_dataset_to_its_evaluation(bare_project, name):
    rules = {"convert", "dataset", "frames", "config", "norm_stats", "train", "evaluate"}
    assert bare_project.plan(f"results/{name}/eval.json") == rules
    assert bare_project.plan(f"results/{name}~smoke/eval.json") == rules - {"convert"}


def test_without_a_frame_store_none_is_made(bare_project):
    bare_project.edit("config/experiments/pi0_libero.yaml", "cluster: {gpus: 4}", "cluster: {frame_store: false}")
    assert "frames" not in bare_project.plan("results/pi0_libero/eval.json")


def test_all_experiments_plan_together(bare_project):
    files = sorted((ROOT / "config/experiments").glob("*.yaml"))
    names = [path.stem for path in files if "\nsweep:" not in path.read_text()]
    output = bare_project.snakemake("-n", *(f"results/{name}/eval.json" for name in names)).stdout
    counts = dict(line.split() for line in output.split("Job stats:")[1].split("\n\n")[0].splitlines()[3:] if line)
    assert int(counts["train"]) == int(counts["evaluate"]) == len(names)


def test_an_unknown_experiment_gets_the_nearest_name(bare_project):
    result = bare_project.snakemake("-n", "results/quickstrat/eval.json", check=False)
    assert result.returncode != 0
    assert "did you mean 'quickstart'?" in result.stdout + result.stderr


def test_a_typo_in_an_experiment_names_file_key_and_remedy(bare_project):
    bare_project.edit("config/experiments/quickstart.yaml", "peak_lr:", "learning_rate:")
    result = bare_project.snakemake("-n", "results/quickstart/eval.json", check=False)
    assert result.returncode != 0
    message = "config/experiments/quickstart.yaml: train.learning_rate: unknown key; did you mean 'peak_lr'?"
    assert message in result.stdout + result.stderr


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.py")), ids=lambda path: path.name)
def test_every_script_explains_itself(script, bare_project):
    help_text = bare_project.python(f"scripts/{script.name}", "--help").stdout
    assert "usage:" in help_text and f"python scripts/{script.name}" in help_text


def test_the_lock_of_a_killed_snakemake_is_taken_away_and_that_of_a_living_one_is_not(bare_project):
    (bare_project.root / "rules/wait.smk").write_text(
        "rule wait:\n    output:\n        touch('waited'),\n    shell:\n        'touch began; sleep 60'\n"
    )
    bare_project.edit("Snakefile", "\n\nrule all:", '\n\ninclude: "rules/wait.smk"\n\n\nrule all:')

    def start():
        (bare_project.root / "began").unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", "-c1", "waited"],
            cwd=bare_project.root,
            env=os.environ | {"PYTHONPATH": str(bare_project.root / "workflow")},
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        while not (bare_project.root / "began").exists() and process.poll() is None:
            time.sleep(0.05)
        return process

    first = start()
    try:
        bare_project.snakemake("-n", "waited")
        second = start()
        assert second.wait() == 1 and "cannot be locked" in second.stderr.read()
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        first = start()
        assert first.poll() is None, first.stderr.read()
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()


def test_a_diff_of_what_is_built_builds_nothing_else(project):
    assert project.plan("results/diff/quickstart..quickstart/diff.html") == {"diff"}


def test_every_paper_can_be_planned(bare_project):
    papers = sorted(path.stem for path in (ROOT / "config/papers").glob("*.yaml"))
    assert len(papers) >= 8
    for paper in papers:
        planned = bare_project.plan(f"results/papers/{paper}/table.csv")
        assert {"paper", "evaluate", "train", "norm_stats", "dataset"} <= planned
