"""What is rerun when something changes, and what is not: decided by keys, never by modification times."""

import json
import os
import re
import shutil
import time

import pytest
from pisft.canonical import file_facts
from pisft.provenance.freshness import SMALL
from typed_project import STAND_INS

QUICKSTART = "config/experiments/quickstart.yaml"
REPORT = "results/quickstart/report.html"


def test_eval_seed_reruns_evaluation_only(project):
    project.edit(QUICKSTART, "batch_size: 10}", "batch_size: 10, seed: 7}")
    assert project.plan() == {"resolve", "evaluate", "report"}


def test_learning_rate_reruns_training_and_evaluation(project):
    project.edit(QUICKSTART, "peak_lr: 1.0e-3", "peak_lr: 2.0e-3")
    assert project.plan() == {"resolve", "train", "evaluate", "report"}


def test_action_horizon_reruns_statistics_too(project):
    project.edit("config/formats/metaworld_quickstart.yaml", "action_horizon: 10", "action_horizon: 12")
    assert project.plan() == {"resolve", "norm_stats", "train", "evaluate", "report"}


def test_render_settings_rerun_all_that_saw_them(project):
    project.edit("config/simulators/metaworld.yaml", "shadowsize: 0", "shadowsize: 512")
    assert project.plan() == {"resolve", "make_dataset", "make_frames", "norm_stats", "train", "evaluate", "report"}


def test_a_new_suite_reruns_nothing_that_does_not_use_it(project):
    project.edit("config/simulators/metaworld.yaml", "suites:\n", "suites:\n  drawers: [drawer-close]\n")
    assert project.plan() == {"resolve", "report"}


def test_how_it_runs_is_no_reason_to_train(project):
    project.edit(QUICKSTART, "  save_every: 250", "  save_every: 100")
    with (project.root / QUICKSTART).open("a") as file:
        file.write("cluster: {micro_batch_size: 8}\n")
    assert project.plan() == {"resolve", "report"}


def test_code_that_evaluation_imports_reruns_evaluation(project):
    with (project.root / "workflow/pisft/evaluate/rollout.py").open("a") as file:
        file.write("\nNEW_BEHAVIOUR = True\n")
    assert project.plan() == {"evaluate", "report"}


def test_code_that_training_imports_reruns_training(project):
    with (project.root / "workflow/pisft/train/step/optim.py").open("a") as file:
        file.write("\nNEW_BEHAVIOUR = True\n")
    assert project.plan() == {"train", "evaluate", "report"}


def test_a_package_version_reruns_what_it_matters_to(project):
    record = project.root / "results/quickstart/provenance/evaluate.json"
    text = record.read_text()
    assert '"mujoco"' in text
    project.python(
        "-c",
        "import json; from pathlib import Path\n"
        "from pisft.canonical import digest, write_json\n"
        f"p = Path({str(record)!r}); r = json.loads(p.read_text())\n"
        "r['packages']['mujoco'] = '0.0'; r.pop('key'); o = r.pop('outputs')\n"
        "write_json(p, {**r, 'key': digest(r), 'outputs': o})",
    )
    plan = project.plan()
    assert "evaluate" in plan and "train" not in plan


def test_a_record_of_a_newer_version_is_refused_by_name_and_nothing_replaces_it(project):
    path = "results/quickstart/provenance/train.json"
    record = json.loads((project.root / path).read_text())
    (project.root / path).write_text(json.dumps(record | {"schema_version": 2}))
    for done in (
        project.snakemake("-c1", "results/quickstart/report.html", check=False),
        project.python("tools/why.py", "results/quickstart/report.html", check=False),
    ):
        said = done.stdout + done.stderr
        assert done.returncode == 1 and f"{path}: schema_version: found 2; this version of pi-sft reads up to 1" in said
    assert json.loads((project.root / path).read_text())["schema_version"] == 2


def test_comments_layout_unused_code_times_records_and_a_missing_intermediate_rerun_nothing(project):
    assert project.plan() == set(), "nothing changed"
    project.edit(QUICKSTART, "model: quickstart", "# a comment\nmodel:   quickstart   # another")
    for path in ("workflow/pisft/evaluate/rollout.py", "workflow/pisft/train/step/optim.py", "scripts/train.py"):
        file = project.root / path
        file.write_text("# a comment\n\n" + file.read_text().replace('"""', '"""Said otherwise. ', 1))
    (project.root / "workflow/pisft/evaluate/unused.py").write_text("x = 1\n")
    (project.root / "results/quickstart/config.json").unlink()
    later = time.time() + 1000
    for folder in ("config", "data", "results", "rules", "scripts", "workflow"):
        for path in sorted((project.root / folder).rglob("*")):
            os.utime(path, (later, later))
            later -= 1
    shutil.rmtree(project.root / ".snakemake")
    assert project.plan() == set(), project.python("tools/why.py", REPORT, check=False).stdout


def test_git_checkout_and_back_reruns_nothing(project):
    (project.root / ".gitignore").write_text("/data\n/results\n.snakemake\n")
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.invalid")
    project.run(*git, "init", "-qb", "main")
    project.run(*git, "add", "-A")
    project.run(*git, "commit", "-qm", "one")
    project.run(*git, "checkout", "-qb", "other")
    project.edit(QUICKSTART, "peak_lr: 1.0e-3", "peak_lr: 2.0e-3")
    project.edit("workflow/pisft/train/step/optim.py", '"""', '"""Other. ')
    project.run(*git, "commit", "-qam", "two")
    assert project.plan() == {"resolve", "train", "evaluate", "report"}
    project.run(*git, "checkout", "-q", "main")
    assert project.plan() == set()


def test_results_copied_into_a_fresh_clone_are_fresh_and_stale_ones_are_noticed(project, bare_project):
    shutil.copytree(project.root / "results", bare_project.root / "results")
    assert bare_project.plan() == set(), "the data need not be there"
    bare_project.edit(QUICKSTART, "peak_lr: 1.0e-3", "peak_lr: 2.0e-3")
    assert bare_project.plan() == {"resolve", "make_dataset", "make_frames", "train", "evaluate", "report"}


def test_truncated_artefacts_are_noticed(project):
    weights = project.root / "results/quickstart/checkpoint/model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:500])
    assert "train" in project.plan()
    weights.write_bytes(whole)
    evaluation = project.root / "results/quickstart/eval.json"
    evaluation.write_text(evaluation.read_text()[:10])
    assert "evaluate" in project.plan()


@pytest.mark.slow
def test_an_edit_of_a_long_json_is_noticed_too(project):
    long = """
from pathlib import Path
from pisft.canonical import write_json
from pisft.provenance.freshness import SMALL
from pisft.stages import Node
from pisft.provenance.build import building
node = Node("evaluate", "quickstart")
with building(node) as build:
    write_json(Path(node.target), {"rates": [0.912] * (SMALL // 5)})
    build.outputs.append(Path(node.target))
"""
    project.python("-c", long)
    assert project.plan() == set()
    project.edit("results/quickstart/eval.json", "0.912", "0.982")
    assert "evaluate" in project.plan()


def test_verify_finds_records_that_cannot_be_read_and_what_a_broken_build_left(project):
    def verify():
        done = project.python("tools/verify.py", "results", check=False)
        return done.returncode, done.stdout

    assert verify()[0] == 0
    weights, record = (
        project.root / f"results/quickstart/{file}"
        for file in ("checkpoint/model.safetensors", "provenance/train.json")
    )
    weights.write_bytes(b"x" * 1000)
    changed = "results/quickstart/checkpoint/model.safetensors: changed"
    assert verify()[0] == 1 and changed in verify()[1]
    record.rename(record.with_suffix(".previous.json"))
    assert verify()[0] == 1 and changed in verify()[1]
    (project.root / "results/quickstart/provenance/others.json").write_text('{"of": "somebody else"}')
    record.write_text("{half")
    assert verify()[0] == 1 and "others.json" not in verify()[1]
    assert "provenance/train.json: is not a readable record" in verify()[1]


def test_only_what_is_fresh_is_rebuilt_and_compared(project):
    project.edit(QUICKSTART, "peak_lr: 1.0e-3", "peak_lr: 2.0e-3")
    refused = project.python("tools/rebuild.py", "quickstart", check=False)
    assert refused.returncode == 1
    assert "train.peak_lr: 0.001 → 0.002; run: snakemake results/quickstart/eval.json" in refused.stderr


@pytest.mark.slow
def test_only_what_is_fresh_and_whole_in_its_own_project_is_uploaded(project, bare_project):
    def upload(where):
        asked = ("tools/upload.py", project.root / "results/quickstart", "--license", "mit", "--to", "uploaded")
        return where.python(*asked, check=False).stderr

    name = "results/quickstart/checkpoint/model.safetensors"
    weights, record = project.root / name, project.root / "results/quickstart/provenance/train.json"
    weights.write_bytes(bytes(SMALL + 1))
    content = json.loads(record.read_text())
    content["outputs"][name] = file_facts(weights)
    record.write_text(json.dumps(content))
    weights.write_bytes(b"x" * (SMALL + 1))
    assert f"{name}: changed; its sha256 was" in upload(project), "planning would not have seen it"
    assert "results/quickstart: is not a results/<exp> of this project" in upload(bare_project)
    weights.write_bytes(bytes(SMALL + 1))
    project.edit(QUICKSTART, "peak_lr: 1.0e-3", "peak_lr: 2.0e-3")
    assert "train.peak_lr: 0.001 → 0.002; run: snakemake" in upload(project)
    assert not (project.root / "uploaded").exists() and not (bare_project.root / "uploaded").exists()


def test_the_reason_is_told(project):
    project.edit(QUICKSTART, "peak_lr: 1.0e-3", "peak_lr: 2.0e-3")
    told = project.python("tools/why.py", "results/quickstart/eval.json", check=False).stdout
    assert "train.peak_lr: 0.001 → 0.002" in told
    assert "norm_stats.json: fresh" in told


def test_an_accepted_refactoring_does_not_retrain(project):
    with (project.root / "workflow/pisft/train/step/optim.py").open("a") as file:
        file.write("\nRENAMED = True\n")
    assert "train" in project.plan()
    project.python("tools/why.py", "--accept", "--unchecked", "results/quickstart/report.html")
    assert project.plan() == {"report"}, "which shows that nobody compared"


@pytest.mark.slow
def test_a_refactoring_is_accepted_where_the_data_were_left_elsewhere(project, bare_project):
    shutil.copytree(project.root / "results", bare_project.root / "results")
    with (bare_project.root / "workflow/pisft/train/step/optim.py").open("a") as file:
        file.write("\nRENAMED = True\n")
    assert "train" in bare_project.plan()
    bare_project.python("tools/why.py", "--accept", "--unchecked", REPORT, check=False)
    assert bare_project.plan() == set(), "the page cannot be drawn again without the data"


def test_a_changed_setting_cannot_be_accepted_away(project):
    project.edit(QUICKSTART, "peak_lr: 1.0e-3", "peak_lr: 2.0e-3")
    result = project.python("tools/why.py", "--accept", "--unchecked", "results/quickstart/report.html", check=False)
    assert result.returncode == 1
    assert "config train.peak_lr" in result.stdout + result.stderr
    assert "train" in project.plan()


def test_a_failed_build_leaves_what_was_there(project):
    """The script fails before it replaces anything: the artefact, and its record, still stand."""
    project.edit(QUICKSTART, "batch_size: 10}", "batch_size: 10, seed: 7}")
    (project.root / "scripts/evaluate.py").write_text("raise SystemExit('error: no simulator')\n")
    before = (project.root / "results/quickstart/eval.json").read_text()
    result = project.snakemake("-c1", "results/quickstart/eval.json", check=False)
    assert result.returncode != 0
    assert "error: no simulator" in result.stdout + result.stderr
    assert (project.root / "results/quickstart/eval.json").read_text() == before


def test_what_goes_on_from_another_experiment_is_built_after_it(project):
    jobs = project.jobs("results/quickstart_lora/checkpoint.json")
    assert jobs.keys() == {"resolve", "make_dataset", "make_frames", "norm_stats", "train"}
    assert jobs["train"] == {"quickstart_lora"}
    project.edit(QUICKSTART, "peak_lr: 1.0e-3", "peak_lr: 2.0e-3")
    why = project.python("tools/why.py", "results/quickstart_lora/checkpoint.json", check=False).stdout
    assert "results/quickstart/checkpoint.json: config train.peak_lr" in why


@pytest.mark.slow
def test_more_steps_and_another_choice_of_weights_train_again_and_keeping_more_does_not(project):
    project.edit(QUICKSTART, "save_every: 250", "save_every: 250\n  keep_every: 500")
    assert "train" not in project.plan()
    with (project.root / QUICKSTART).open() as file:
        text = file.read()
    (project.root / QUICKSTART).write_text(text.replace("eval:\n", "eval:\n  checkpoint: 1000\n"))
    assert project.plan() == {"resolve", "train", "evaluate", "report"}


@pytest.mark.slow
def test_how_long_a_run_is_and_what_is_taken_of_it_do_not_change_where_its_state_lies(project):
    ask = (
        "from pisft.provenance.build import Build\n"
        "from pisft.provenance.key import expected\n"
        "from pisft.stages import Node\n"
        "print(Build(expected(Node('train', 'quickstart'))).fingerprint)"
    )
    before = project.python("-c", ask).stdout
    project.edit(QUICKSTART, "steps: 2000", "steps: 1900")
    project.edit(QUICKSTART, "save_every: 250", "save_every: 250\n  keep_every: 100")
    project.edit(QUICKSTART, "eval:\n", "eval:\n  checkpoint: 500\n")
    assert project.python("-c", ask).stdout == before
    project.edit(QUICKSTART, "checkpoint: 500", "checkpoint: best")
    best = project.python("-c", ask).stdout
    assert best != before
    project.edit(QUICKSTART, "checkpoint: best", "checkpoint: last")
    project.edit(QUICKSTART, "peak_lr: 1.0e-3", "peak_lr: 2.0e-3")
    assert project.python("-c", ask).stdout != before


@pytest.mark.slow
def test_base_weights_of_jax_are_converted_first(project):
    folder = project.root / "jax/params"
    folder.mkdir(parents=True)
    (folder / "_METADATA").write_text("{}")
    model = "extends: quickstart\nbase: {orbax: jax/params}\n"
    (project.root / "config/models/converted.yaml").write_text(model)
    experiment = "extends: quickstart\nmodel: converted\n"
    (project.root / "config/experiments/converted.yaml").write_text(experiment)
    target = "results/converted/checkpoint.json"
    assert project.plan(target) == {"resolve", "norm_stats", "convert", "train"}
    why = project.python("tools/why.py", target, check=False).stdout
    assert "data/base/converted/model.safetensors" in why


@pytest.mark.slow
def test_base_weights_that_were_not_brought_along_are_no_reason_to_convert_and_train(project):
    folder = project.root / "jax/params"
    folder.mkdir(parents=True)
    (folder / "_METADATA").write_text("{}")
    (project.root / "config/models/converted.yaml").write_text("extends: quickstart\nbase: {orbax: jax/params}\n")
    (project.root / "config/experiments/converted.yaml").write_text("extends: quickstart\nmodel: converted\n")
    target = "results/converted/checkpoint.json"
    project.python("-c", STAND_INS, target)
    shutil.rmtree(project.root / "jax")
    assert project.plan(target) == set()
    why = project.python("tools/why.py", target, "--files").stdout
    assert "    jax/params: is not here, and assumed unchanged since this was made" in why
    assert re.search(r"^    [0-9a-f]{64}  results/converted/checkpoint\.json$", why, re.MULTILINE)
