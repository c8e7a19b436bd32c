"""A mistake in a configuration file gets one clear message: file, key, what was found, nearest valid name."""

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
import warm
import yaml
from pisft.config import ConfigError, load_dataset, read_resolved, resolve, sweep_members
from pisft.config.base import parse
from pisft.config.experiment import DatasetUse
from pisft.config.files import load_model
from pisft.config.train import Cluster

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path


def change(project, path, edit):
    file = project / "config" / path
    content = yaml.safe_load(file.read_text())
    edit(content)
    file.write_text(yaml.safe_dump(content))


MISTAKES = {
    "a misspelt key": (
        lambda c: c["train"].update(warmup_step=1),
        "train.warmup_step",
        "did you mean 'warmup_steps'?",
    ),
    "another trainer's word": (
        lambda c: c["train"].update(learning_rate=1),
        "learning_rate",
        "did you mean 'peak_lr'?",
    ),
    "a wrong type": (lambda c: c["train"].update(steps="many"), "train.steps: found 'many'", "valid integer"),
    "a value out of range": (
        lambda c: c["split"].update(heldout_fraction=2),
        "split.heldout_fraction: found 2",
        "less than 1",
    ),
    "a wrong choice": (
        lambda c: c["train"].update(precision="b16"),
        "train.precision: found 'b16'",
        "did you mean 'bf16'?",
    ),
    "a key that is missing": (lambda c: c.pop("model"), "model: is required and missing", ""),
    "an unknown model": (
        lambda c: c.update(model="quickstrat"),
        "model: no file",
        "did you mean 'quickstart'?",
    ),
    "an unknown format": (
        lambda c: c.update(format="metaworld_quikstart"),
        "format: no file",
        "did you mean 'metaworld_quickstart'?",
    ),
    "an unknown dataset": (
        lambda c: c.update(datasets=[{"name": "metaworld_quikstart"}]),
        "datasets: no file",
        "did you mean 'metaworld_quickstart'?",
    ),
    "a dataset twice": (
        lambda c: c.update(datasets=[{"name": "metaworld_quickstart", "episodes": ["0-9"]}] * 2),
        "datasets: found",
        "metaworld_quickstart is named twice with the same episodes",
    ),
    "a dataset twice, once with all its episodes": (
        lambda c: c.update(
            datasets=[{"name": "metaworld_quickstart", "episodes": ["0"]}, {"name": "metaworld_quickstart"}]
        ),
        "datasets: found",
        "give each its own `episodes`",
    ),
    "an unknown simulator": (
        lambda c: c["eval"]["closed_loop"].update(simulator="metawrld"),
        "eval.closed_loop.simulator: no file",
        "did you mean 'metaworld'?",
    ),
    "an unknown suite": (
        lambda c: c["eval"]["closed_loop"].update(suites=["quickstat"]),
        "eval.closed_loop.suites: unknown suite 'quickstat'",
        "did you mean 'quickstart'?",
    ),
    "seeds that serve another purpose": (
        lambda c: c["eval"]["closed_loop"].update(seeds="tuning", seed=9990),
        "eval.closed_loop.seeds: 20 episodes from seed 19990 on go past the end of 'tuning'",
        "",
    ),
    "a replan longer than a chunk": (
        lambda c: c["eval"]["closed_loop"].update(replan_steps=11),
        "eval.closed_loop.replan_steps: found 11",
        "at most the format's action_horizon, 10",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_an_experiment_is_one_clear_message(project, mistake):
    edit, key, remedy = MISTAKES[mistake]
    change(project, "experiments/quickstart.yaml", edit)
    with pytest.raises(ConfigError) as error:
        resolve("quickstart", project)
    message = str(error.value)
    assert "config/experiments/quickstart.yaml: " in message
    assert key in message and remedy in message
    assert len(message.splitlines()) == 1


def test_an_unknown_experiment_gets_the_nearest_name(project):
    with pytest.raises(ConfigError, match=r"results/quickstrat: .*did you mean 'quickstart'\?"):
        resolve("quickstrat", project)


def test_mistakes_in_the_files_that_an_experiment_names_point_there(project):
    change(project, "models/quickstart.yaml", lambda c: c["vlm"].update(widht=1))
    with pytest.raises(
        ConfigError, match=r"config/models/quickstart.yaml: vlm.widht: unknown key; did you mean 'width'"
    ):
        resolve("quickstart", project)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"source": "hubb", "repo": "a"}, "source: found 'hubb'; expected 'hub', 'local', 'generated'"),
        ({"source": "hub", "repo": "a"}, "revision: is required and missing"),
        ({"source": "local", "pth": "a", "path": "b"}, "pth: unknown key; did you mean 'path'?"),
        ({"repo": "a"}, "source: is required and missing"),
        ([1], "expected a mapping"),
    ],
)
def test_mistakes_in_a_dataset_file(project, content, message):
    (project / "config/datasets/mine.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as error:
        load_dataset("mine", project)
    assert f"config/datasets/mine.yaml: {message}" in str(error.value)


def test_malformed_yaml_names_the_file_and_line(project):
    (project / "config/experiments/quickstart.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match=r"quickstart.yaml: is not valid YAML: .*line"):
        resolve("quickstart", project)


def test_the_resolved_experiment_reads_back_as_itself(tmp_path):
    resolved = resolve("quickstart", ROOT)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(resolved.model_dump(mode="json", by_alias=True)))
    assert read_resolved(path) == resolved


def test_every_experiment_in_the_repository_resolves():
    files = {path.stem: path.read_text() for path in (ROOT / "config/experiments").glob("*.yaml")}
    sweeps = {name for name, text in files.items() if "sweep" in yaml.safe_load(text)}
    assert "quickstart" in files and "quickstart_seeds" in sweeps
    for name in files.keys() - sweeps | {member for sweep in sweeps for member in sweep_members(sweep, ROOT)}:
        assert resolve(name, ROOT).name == name


def test_the_formats_horizon_is_the_models():
    resolved = resolve("quickstart", ROOT)
    assert resolved.model.action_horizon == resolved.format.action_horizon == 10


def test_an_experiment_that_extends_another_differs_only_where_it_says(project):
    (project / "config/experiments/child.yaml").write_text("extends: quickstart\ntrain: {seed: 5}\n")
    child, parent = resolve("child", project), resolve("quickstart", project)
    assert child.train.seed == 5
    assert child.train.model_copy(update={"seed": 0}) == parent.train
    assert child.model_copy(update={"name": "quickstart", "train": parent.train}) == parent


def test_extending_in_a_circle_is_refused(project):
    (project / "config/experiments/a.yaml").write_text("extends: b\n")
    (project / "config/experiments/b.yaml").write_text("extends: a\n")
    with pytest.raises(ConfigError, match="circular"):
        resolve("a", project)


def test_committed_schemas_and_docs_are_those_of_the_types():
    result = warm.run(["tools/schema.py", "--check"], ROOT)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("kind", ["dataset", "experiment", "format", "model", "paper", "simulator"])
def test_every_file_in_the_repository_fits_its_schema(kind):
    schema = json.loads((ROOT / f"config/schema/{kind}.schema.json").read_text())
    files = sorted((ROOT / f"config/{kind}s").glob("*.yaml"))
    assert files
    for path in files:
        jsonschema.validate(yaml.safe_load(path.read_text()), schema)


def test_every_file_tells_an_editor_its_schema():
    for path in (ROOT / "config").rglob("*.yaml"):
        line = path.read_text().partition("\n")[0]
        name = line.removeprefix("# yaml-language-server: $schema=")
        assert name != line, f"{path}: the first line names no schema"
        kind = "site" if path.name == "site.yaml" else path.parent.name.removesuffix("s")
        assert (path.parent / name).resolve() == ROOT / f"config/schema/{kind}.schema.json"


def test_the_schema_refuses_what_the_types_refuse():
    schema = json.loads((ROOT / "config/schema/experiment.schema.json").read_text())
    content = yaml.safe_load((ROOT / "config/experiments/quickstart.yaml").read_text())
    content["train"]["learning_rate"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema)


def test_episode_ranges():
    use = parse({"name": "d", "episodes": ["0-2", 5]}, DatasetUse, "e.yaml")
    assert use.selected(6) == [0, 1, 2, 5]
    with pytest.raises(ConfigError, match=r"the dataset has 5 \(0-4\)"):
        use.selected(5)
    with pytest.raises(ConfigError, match="such as 0-49"):
        parse({"name": "d", "episodes": ["2-0"]}, DatasetUse, "e.yaml")


def files(tmp_path, models=None, **experiments):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    for folder, contents in (("models", models or {}), ("experiments", experiments)):
        for name, text in contents.items():
            (tmp_path / f"config/{folder}/{name}.yaml").write_text(text)
    return tmp_path


def test_a_model_may_extend_another(tmp_path):
    root = files(tmp_path, {"wide": "extends: quickstart\nvlm: {width: 192}\n"}, e="extends: quickstart\nmodel: wide\n")
    model = resolve("e", root).model
    assert (model.vlm.width, model.vlm.mlp, model.variant) == (192, 384, "pi0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("finetune: {method: lora}", r"found lora; the model 'quickstart' has no base weights"),
        ("norm_stats: {from: base}", r"found base; the model 'quickstart' has no base weights"),
        ("finetune: {method: lora, targets: rlimf}", "rlinf"),
        ("finetune: {method: lora, targets: ['(']}", "is not a regular expression"),
        ("finetune: {method: full, freeze: [visoin]}", "vision"),
        ("cluster: {gpus: 5}", r"global_batch_size: found 32; expected a multiple of the number of processes, 5"),
        ("cluster: {gpus: 3-1}", "neither a number nor a range"),
        ("eval: {checkpoint: 300}", "expected last, best or a saved step"),
        ("logging: {profile_steps: [10, 5]}", "expected .first, end. within train.steps"),
        ("train: {steps: 3000}", r"train.steps: found 3000; the learning rate is 0 from decay_steps, 2000, on"),
    ],
)
def test_what_cannot_be_trained_is_said_when_it_is_read(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        resolve("e", files(tmp_path, e=f"extends: quickstart\n{text}\n"))


def test_base_experiments_cannot_go_round_in_a_circle_or_have_another_model(tmp_path):
    models = {
        "a": "extends: quickstart\nbase: {experiment: a}\n",
        "wide": "extends: quickstart\nhead_dim: 64\nbase: {experiment: quickstart}\n",
    }
    root = files(tmp_path, models, a="extends: quickstart\nmodel: a\n", w="extends: quickstart\nmodel: wide\n")
    with pytest.raises(ConfigError, match="circular"):
        resolve("a", root)
    with pytest.raises(ConfigError, match="head_dim is 64; its base experiment quickstart has 32"):
        resolve("w", root)


def test_another_method_replaces_what_an_extended_experiment_says():
    assert resolve("quickstart_lora_full", ROOT).finetune.model_dump() == {"method": "full", "freeze": []}


def test_gpus_are_a_count_or_their_numbers():
    assert (Cluster(gpus=4).gpus_per_node, Cluster(gpus=4).visible_gpus) == (4, None)
    assert (Cluster(gpus="0-3").gpus_per_node, Cluster(gpus="0-3").visible_gpus) == (4, "0,1,2,3")
    assert Cluster(gpus="1,5").visible_gpus == "1,5"


def test_a_model_that_extends_another_may_take_its_weights_from_elsewhere(project):
    (project / "config/models/mine.yaml").write_text("extends: pi0_base\nbase: {path: /weights}\n")
    base = load_model("mine", project).base
    assert base.path == "/weights" and base.orbax is None


def test_a_dataset_may_be_used_twice_with_other_episodes_and_weight(project):
    uses = [{"name": "metaworld_quickstart", "episodes": ["0-9"]}]
    uses.append({"name": "metaworld_quickstart", "episodes": ["10-19", "25"], "weight": 2.0})
    change(project, "experiments/quickstart.yaml", lambda c: c.update(datasets=uses))
    assert [use.weight for use in resolve("quickstart", project).datasets] == [1.0, 2.0]
