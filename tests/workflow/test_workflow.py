"""The workflow reads well, starts fast, and tells an unknown name from a known one."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from pisft.config import load_paper, resolve
from script_arguments import parse

ROOT = Path(__file__).parents[2]


def test_lint_has_no_remark_but_that_the_environment_is_locked_elsewhere(bare_project):
    output = bare_project.snakemake("--lint", check=False)
    remarks = {line.strip() for line in (output.stdout + output.stderr).splitlines() if line.startswith("    * ")}
    assert remarks <= {"* Specify a conda environment or container for each rule.:"}


def unquoted(rules: str) -> list[str]:
    """What the shell commands of `rules` substitute without quoting it, but for the number of threads."""
    commands = re.findall(r"^( +)shell:\n((?:\1 +.*\n|\n)*)|\bshell\((.*)\)", rules, re.MULTILINE)
    fields = [field for _, block, call in commands for field in re.findall(r"(?<!\{)\{[^{}]+\}", block + call)]
    return [field for field in fields if field != "{threads}" and not field.endswith(":q}")]


def test_lint_finds_no_word_in_a_shell_command_that_is_not_quoted():
    files = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]
    texts = {path.name: path.read_text() for path in files}
    assert sum(text.count("shell:\n") for text in texts.values()) > 12
    assert {name: found for name, text in texts.items() if (found := unquoted(text))} == {}
    assert unquoted(texts["make_frames.smk"].replace(":q}", "}")) == ["{wildcards.view}", "{log}"]
    assert unquoted("rule x:\n    run:\n        shell('rm {output}')\n") == ["{output}"]


def test_planning_imports_no_torch(bare_project):
    code = "import sys, snakemake.cli as c\ntry: c.main(sys.argv[1:])\nexcept SystemExit as e: assert not e.code\n"
    check = "print('heavy:', sorted({'torch', 'lerobot', 'mujoco', 'transformers'} & set(sys.modules)))"
    result = bare_project.run(sys.executable, "-c", code + check, "-n", "results/quickstart/report.html", cold=True)
    assert "heavy: []" in result.stdout
    assert "Job stats:" in result.stdout


def test_every_experiment_plans_from_its_weights_and_dataset_to_its_evaluation(bare_project):
    recipes = sorted(path.stem for path in (ROOT / "config/formats").glob("pi0*.yaml"))
    files = (ROOT / "config/experiments").glob("*.yaml")
    whole = {path.stem for path in files if "\nsweep:" not in path.read_text()}
    names = whole | {f"{recipe}~smoke" for recipe in recipes}
    assert len(recipes) >= 9 and whole.issuperset(recipes)
    jobs = bare_project.jobs(*(f"results/{name}/eval.json" for name in names))
    resolved = {name: resolve(name, ROOT) for name in names}
    datasets = {use.name for exp in resolved.values() for use in exp.datasets}
    published = {exp.model_name for exp in resolved.values() if getattr(exp.model.base, "orbax", None)}
    assert published.issuperset(resolved[recipe].model_name for recipe in recipes)
    assert {view.split("/")[0] for view in jobs.pop("make_frames")} == datasets
    assert jobs == {
        **dict.fromkeys(("resolve", "norm_stats", "train", "evaluate"), names),
        "make_dataset": datasets,
        "convert": published,
    }


def test_without_a_frame_store_none_is_made(bare_project):
    bare_project.edit("config/experiments/pi0_libero.yaml", "cluster: {gpus: 4}", "cluster: {frame_store: false}")
    assert "make_frames" not in bare_project.plan("results/pi0_libero/eval.json")


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


def test_the_plan_says_that_there_will_be_no_validation(bare_project):
    said = "quickstart: split.heldout_fraction is 0: trained without validation"
    assert said not in bare_project.snakemake("-n", "results/quickstart/eval.json").stderr
    bare_project.edit("config/experiments/quickstart.yaml", "heldout_fraction: 0.04", "heldout_fraction: 0")
    assert said in bare_project.snakemake("-n", "results/quickstart/eval.json").stderr


def test_the_plan_says_what_it_takes(bare_project):
    said = bare_project.snakemake("-n", "results/pi05_libero/eval.json").stderr
    assert re.search(r"pi05_libero/checkpoint\.json: trains on 8 GPUs, about \d+\.\d GiB each, \d+ GiB of disk", said)
    assert "data/libero/manifest.json: downloads physical-intelligence/libero at" in said
    assert "data/base/pi05_base/model.safetensors: the checkpoint to convert is missing: data/openpi" in said


def test_every_script_explains_itself(bare_project):
    files = (path for folder in ("scripts", "tools", "benchmarks") for path in sorted((ROOT / folder).glob("*.py")))
    scripts = [path.relative_to(ROOT).as_posix() for path in files]
    answers = parse(bare_project, [(script, ["--help"]) for script in scripts])
    silent = {
        script: answers[f"{script} --help"]
        for script in scripts
        if (told := answers[f"{script} --help"])[0] or "usage:" not in told[1] or f"python {script}" not in told[1]
    }
    assert len(scripts) > 30 and not silent, silent


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
    jobs = bare_project.jobs(*(f"results/papers/{paper}/table.csv" for paper in papers))
    experiments = {name for paper in papers for name in load_paper(paper, ROOT).experiments}
    assert jobs["paper"] == set(papers) and jobs["evaluate"] == jobs["train"] == jobs["norm_stats"] == experiments
    assert jobs["make_dataset"] == {use.name for name in experiments for use in resolve(name, ROOT).datasets}
