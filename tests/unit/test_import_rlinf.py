"""An RLinf configuration becomes the experiment that RLinf's trainer would run, and no key goes without a word."""

import shutil
import subprocess
from pathlib import Path

import pytest
import warm
import yaml
from pisft.config import ConfigError, resolve
from pisft.rlinf.experiment import check, translate
from pisft.rlinf.hydra import compose
from pisft.rlinf.vocabulary import VOCABULARY, WORDS, table

ROOT = Path(__file__).parents[2]

# The shape of RLinf's files, and the numbers of its LIBERO recipe.
LIBERO = {
    "defaults": ["model/pi0@actor.model", {"override hydra/job_logging": "stdout"}],
    "cluster": {"num_nodes": 1, "component_placement": {"actor,env,rollout": "0-0"}},
    "runner": {
        "task_type": "sft",
        "logger": {"log_path": "../results", "logger_backends": ["tensorboard"]},
        "max_epochs": -1,
        "max_steps": 30000,
        "save_interval": 2000,
    },
    "data": {"train_data_paths": "/path/to/libero-data"},
    "actor": {
        "micro_batch_size": 4,
        "global_batch_size": 128,
        "seed": 0,
        "model": {"precision": None, "model_path": "/path/to/pi0", "openpi": {"config_name": "pi0_libero"}},
        "optim": {
            "lr": 2.5e-5,
            "adam_beta1": 0.9,
            "adam_beta2": 0.95,
            "adam_eps": 1e-8,
            "weight_decay": "1e-10",  # a string to YAML 1.1, a number to OmegaConf
            "clip_grad": 1.0,
            "warmup_style": "cosine",
            "lr_warmup_steps": 1000,
            "total_training_steps": 30000,
        },
        "fsdp_config": {"mixed_precision": {"param_dtype": "${actor.model.precision}"}},
    },
}
REALWORLD = (
    "runner.max_steps=2000",
    "runner.save_interval=100",
    "actor.global_batch_size=32",
    "actor.model.openpi.config_name=pi0_realworld",
)
CUSTOM = (
    "runner.max_steps=1000",
    "actor.micro_batch_size=1",
    "actor.global_batch_size=16",
    "actor.model.openpi.config_name=pi0_custom",
    "actor.optim={lr: 7.91e-6, weight_decay: 0.01, warmup_style: null, lr_warmup_steps: null}",
)
ROBOTWIN = (
    "cluster.component_placement={'actor,env,rollout': 0-1}",
    "actor.micro_batch_size=16",
    "actor.global_batch_size=32",
    "actor.model.openpi.config_name=pi0_aloha_robotwin",
    "actor.optim.lr_scheduler=openpi_cosine",
    "actor.optim.min_lr=2.5e-6",
)

FSDP = "actor.fsdp_config={mixed_precision: {param_dtype: null}, amp_autocast: "


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with our configuration, and RLinf's file in a folder beside it."""
    shutil.copytree(ROOT / "config", tmp_path / "ours/config")
    monkeypatch.chdir(tmp_path / "ours")
    monkeypatch.delenv("EMBODIED_PATH", raising=False)
    return tmp_path


def theirs(project, content=LIBERO) -> Path:
    path = project / "theirs/libero_sft_openpi.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return path


def imported(project, *overrides, content=LIBERO, name="mine"):
    """The result of an import, and its experiment resolved in `project`."""
    result = translate(theirs(project, content), name, overrides=overrides)
    check(result)
    for path, text in result.files.items():
        path.write_text(text)
    return result, resolve(name)


def line(result, key) -> str:
    """The one line about `key`."""
    (found,) = [str(line) for line in result.lines if f"{key}: " in str(line)]
    return found


@pytest.mark.parametrize(
    ("overrides", "shipped"),
    [((), "pi0_libero_rlinf"), (REALWORLD, "pi0_realworld"), (CUSTOM, "pi0_custom"), (ROBOTWIN, "pi0_aloha_robotwin")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rlinfs_own_recipes_come_out_as_the_experiments_that_follow_them(project, overrides, shipped):
    _, ours = imported(project, *overrides)
    published = resolve(shipped)
    how = {"save_every", "keep_every"}
    assert ours.train.model_dump(exclude=how) == published.train.model_dump(exclude=how)
    assert (ours.model, ours.format, ours.finetune) == (published.model, published.format, published.finetune)
    assert [use.name for use in ours.datasets] == [use.name for use in published.datasets]
    assert ours.train.ema is None and ours.cluster.micro_batch_size


RECIPES = sorted(
    path.stem
    for path in (ROOT / "config/formats").glob("pi0*.yaml")
    if (ROOT / "config/experiments" / path.name).exists()
)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_placeholder_stands_for_the_formats_own_data_whether_its_experiment_names_them_or_what_it_extends(
    project, recipe
):
    _, ours = imported(project, f"actor.model.openpi.config_name={recipe}")
    assert [use.name for use in ours.datasets] == [use.name for use in resolve(recipe).datasets]


def test_the_published_numbers(project):
    _, libero = imported(project)
    train = libero.train
    assert (train.global_batch_size, train.steps, libero.cluster.micro_batch_size) == (128, 30000, 4)
    assert (train.peak_lr, train.end_lr, train.warmup_steps) == (2.5e-5, 2.5e-5, 1000)
    assert (train.weight_decay, train.ema, train.augment) == (1e-10, None, True)
    _, custom = imported(project, *CUSTOM)
    train = custom.train
    assert (train.global_batch_size, train.steps, custom.cluster.micro_batch_size) == (16, 1000, 1)
    assert (train.peak_lr, train.end_lr, train.warmup_steps, train.weight_decay) == (7.91e-6, 7.91e-6, 0, 0.01)


def test_only_what_differs_from_our_defaults_is_written_and_translations_have_a_word(project):
    result, _ = imported(project)
    assert list(result.files) == [Path("config/experiments/mine.yaml")]
    text = result.files[Path("config/experiments/mine.yaml")]
    content = yaml.safe_load(text)
    assert content["datasets"] == [{"name": "libero"}]
    assert set(content) == {"recipe", "model", "format", "datasets", "train", "cluster"}
    assert set(content["train"]) == {"steps", "global_batch_size", "end_lr", "ema", "augment", "save_every"}
    assert "end_lr: 2.5e-05  # constant after the warm-up" in text
    assert str(project) not in text


def test_every_key_gets_exactly_one_line(project):
    path = theirs(project)
    content, _ = compose(path)
    result = translate(path, "mine")

    def leaves(node, above=""):
        for key, value in node.items():
            yield from leaves(value, f"{above}{key}.") if isinstance(value, dict) else [(f"{above}{key}", value)]

    for key, value in leaves(content):
        if value is not None:
            line(result, key)


def test_an_unknown_key_is_told_and_never_fatal(project):
    result, _ = imported(project, "actor.optim.lr_warmup_step=5", "actor.shiny=true", "colour=blue")
    assert line(result, "actor.optim.lr_warmup_step").startswith("unknown")
    assert "did you mean actor.optim.lr_warmup_steps?" in line(result, "actor.optim.lr_warmup_step")
    assert line(result, "actor.shiny").startswith("unknown") and line(result, "colour").startswith("unknown")


MISTAKES = {
    "not a mapping": ("- a\n- b\n", (), "libero_sft_openpi.yaml: expected a mapping"),
    "a tag of Python's": ("a: !!python/object/apply:os.getcwd []\n", (), "is not valid YAML: could not determine"),
    "an anchor in itself": ("a: &a {b: *a}\n", (), "is nested in itself"),
    "an unknown format": (
        LIBERO,
        ("actor.model.openpi.config_name=pi0_liberoo",),
        "actor.model.openpi.config_name: no file config/formats/pi0_liberoo.yaml; did you mean 'pi0_libero'?",
    ),
    "no format": (LIBERO, ("actor.model.openpi.config_name=null",), "config_name: found None; expected the name"),
    "another task": (LIBERO, ("runner.task_type=embodied",), "runner.task_type: found embodied; expected sft"),
    "another model": (LIBERO, ("actor.model.model_type=fastwam",), "model_type: found fastwam"),
    "no length": (LIBERO, ("runner.max_steps=-1",), "runner.max_steps: is missing"),
    "no rate": (LIBERO, ("actor.optim.lr=null",), "actor.optim.lr: is missing"),
    "a word for a number": (LIBERO, ("actor.optim.lr=fast",), "actor.optim.lr: found 'fast'; expected a number"),
    "no node": (LIBERO, ("cluster.num_nodes=0",), "cluster.num_nodes: found 0; expected a whole number, 1 or more"),
    "half a node": (LIBERO, ("cluster.num_nodes=1.5",), "cluster.num_nodes: found 1.5; expected a whole number"),
    "no samples": (LIBERO, ("actor.micro_batch_size=0",), "actor.micro_batch_size: found 0; expected a whole number"),
    "a word for a flag": (LIBERO, ("actor.model.is_lora=perhaps",), "is_lora: found 'perhaps'; expected true or false"),
    "an unknown schedule": (LIBERO, ("actor.optim.lr_scheduler=cosin",), "did you mean 'cosine'?"),
    "an open variable": (
        LIBERO,
        ("data.train_data_paths=${oc.env:NOT_SET_ANYWHERE}",),
        "data.train_data_paths: ${oc.env:NOT_SET_ANYWHERE} is not resolved: set the variable",
    ),
    "a hub id without a revision": (
        LIBERO,
        ("data.train_data_paths=org/robot",),
        "'org/robot' is a hub repo, which needs a pinned revision, org/robot@<commit or tag>",
    ),
    "no override": (LIBERO, ("runner.max_steps",), "runner.max_steps: expected <key>=<value>"),
    "a batch for three": (
        LIBERO,
        ("cluster.component_placement={actor: 0-2}",),
        "nothing is written: config/experiments/mine.yaml: train.global_batch_size: found 128; expected a multiple",
    ),
    "a schedule that ends at 0": (
        LIBERO,
        ("actor.optim.lr_scheduler=cosine", "actor.optim.total_training_steps=100"),
        "the learning rate is 0 from decay_steps, 100",
    ),
}


@pytest.mark.parametrize(("content", "overrides", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_what_no_experiment_can_be_made_of_is_one_message(project, content, overrides, message):
    with pytest.raises(ConfigError) as error:
        imported(project, *overrides, content=content)
    assert message in str(error.value)
    assert not Path("config/experiments/mine.yaml").exists()


def test_a_name_that_is_a_path_is_refused(project):
    with pytest.raises(ConfigError, match="found the name"):
        translate(theirs(project), "../mine")


def test_the_template_of_the_defaults_list_is_read_beside_the_file_and_on_the_search_path(project, monkeypatch):
    template = {"is_lora": False, "precision": "fp32", "openpi": {"config_name": "x", "train_expert_only": True}}
    result, ours = imported(project)
    assert any(line.how == "missing" and "model/pi0.yaml" in line.text for line in result.lines)
    assert "may be in a file that is missing" in line(result, "finetune") and ours.finetune.freeze == []

    for folder, content in [
        (project / "theirs", LIBERO),
        (project / "elsewhere/config", LIBERO | {"hydra": {"searchpath": ["file://${oc.env:EMBODIED_PATH}/config/"]}}),
    ]:
        (folder / "model").mkdir(parents=True)
        (folder / "model/pi0.yaml").write_text(yaml.safe_dump(template))
        monkeypatch.setenv("EMBODIED_PATH", str(project / "elsewhere"))
        result, ours = imported(project, content=content)
        shutil.rmtree(folder / "model")
        assert not any(line.how == "missing" for line in result.lines)
        # the file itself has the last word, with its null too; the template says what it does not
        assert ours.format.asset_id == "physical-intelligence/libero" and ours.train.precision == "bf16"
        assert ours.finetune.freeze == ["vision", "vlm"]


def test_self_may_come_first(project):
    (project / "theirs/model").mkdir(parents=True)
    (project / "theirs/model/pi0.yaml").write_text("openpi: {config_name: pi0_maniskill}\n")
    _, ours = imported(project, content=LIBERO | {"defaults": ["_self_", {"model@actor.model": "pi0"}]})
    assert len(ours.format.cameras) == len(resolve("pi0_maniskill").format.cameras) == 1


def test_interpolations(project, monkeypatch):
    monkeypatch.setenv("PISFT_TEST_HOME", "/somewhere")
    path = theirs(
        project,
        """
        a: {b: {c: 7, up: "${..d}", beside: "${.c}"}, d: 1e-3}
        whole: ${a.b}
        text: ${oc.env:PISFT_TEST_HOME}/${a.b.c}
        nested: ${oc.env:PISFT_TEST_UNSET,${a.b.c}}
        open: ${oc.env:PISFT_TEST_UNSET}
        other: ${eval:1+1}
        round: ${about}
        about: ${round}
        """,
    )
    content, _ = compose(path)
    assert content["whole"] == {"c": 7, "up": 1e-3, "beside": 7}
    assert content["text"] == "/somewhere/7" and content["nested"] == "7"
    assert content["open"] == "${oc.env:PISFT_TEST_UNSET}" and content["other"] == "${eval:1+1}"
    assert content["round"].startswith("${")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), (2.5e-5, 30000, 1000)),
        (("lr_scheduler=openpi_cosine", "min_lr=1e-6", "total_training_steps=40000"), (1e-6, 40000, 1000)),
        (("lr_scheduler=cosine", "min_lr=1e-6", "min_lr_rate=0.2"), (5e-6, 30000, 1000)),
        (("lr_scheduler=cosine",), (0.0, 30000, 1000)),
        (("lr_scheduler=torch_cosine", "min_lr=3e-6"), (1e-6, 30000, 0)),
        (("lr_scheduler=torch_constant",), (2.5e-5, 30000, 0)),
        (("lr_warmup_steps=-1", "lr_warmup_steps_ratio=0.05"), (2.5e-5, 30000, 1500)),
        (("lr_warmup_steps=-1",), (2.5e-5, 30000, 0)),
    ],
    ids=str,
)
def test_schedules(project, overrides, expected):
    _, ours = imported(project, *(f"actor.optim.{override}" for override in overrides))
    assert (ours.train.end_lr, ours.train.decay_steps, ours.train.warmup_steps) == pytest.approx(expected)


def test_weight_decay_that_is_absent_is_rlinfs(project):
    _, ours = imported(project, "actor.optim.weight_decay=null")
    assert ours.train.weight_decay == 0.01


@pytest.mark.parametrize(
    ("placement", "nodes", "gpus"),
    [("0-3", 1, 4), ("2-3", 1, "2,3"), (0, 1, 1), ("0-15", 2, 8), ("0-3:0-7", 1, 4), ("all", 1, 1), ("0-2", 2, 1)],
)
def test_gpus(project, placement, nodes, gpus):
    overrides = (f"cluster.num_nodes={nodes}", f"cluster.component_placement={{actor: {placement}, env: 0-0}}")
    result, ours = imported(project, *overrides)
    assert (ours.cluster.num_nodes, ours.cluster.gpus) == (nodes, gpus)
    left_out = line(result, "component_placement.actor").startswith("left out")
    assert left_out == (placement in ("all", "0-2"))
    assert "only the actor trains" in line(result, "component_placement.env")


def test_a_batch_that_rlinf_would_refuse_is_told(project):
    result, _ = imported(project, "actor.micro_batch_size=5")
    assert any("128 is no multiple of micro_batch_size · processes, 5 · 1" in line.text for line in result.lines)
    assert not any("no multiple" in line.text for line in imported(project)[0].lines)


@pytest.mark.parametrize(
    ("overrides", "precision"),
    [
        (("actor.model.precision=fp32",), "fp32"),
        (("actor.model.precision=fp32", "actor.fsdp_config.mixed_precision.param_dtype=bf16"), "bf16"),
        (("actor.model.precision=fp32", f"{FSDP}{{enabled: true, precision: bf16}}}}"), "bf16"),
        (("actor.model.precision=fp32", f"{FSDP}{{enabled: false, precision: bf16}}}}"), "fp32"),
        (("actor.model.precision=fp16",), "bf16"),
        ((), "bf16"),
    ],
)
def test_precision(project, overrides, precision):
    assert imported(project, *overrides)[1].train.precision == precision


def test_a_precision_of_a_template_that_is_not_here_is_told_and_not_fatal(project):
    content = yaml.safe_load(yaml.safe_dump(LIBERO))
    del content["actor"]["model"]["precision"]
    result, ours = imported(project, content=content)
    assert "not resolved" in line(result, "param_dtype") and ours.train.precision == "bf16"


def test_lora(project):
    lora = "actor.model.is_lora=true"
    _, ours = imported(project, lora)
    assert (ours.finetune.method, ours.finetune.targets, ours.finetune.rank) == ("lora", "rlinf", None)
    _, ours = imported(project, lora, "actor.model.lora_rank=16", "actor.model.lora_path=/weights/adapter")
    assert (ours.finetune.rank, ours.finetune.alpha, ours.finetune.adapter) == (16, 16, "/weights/adapter")
    result, ours = imported(project, "actor.model.lora_rank=16", "actor.model.is_lora=false")
    assert ours.finetune.method == "full" and "is_lora is false" in line(result, "lora_rank")


def test_expert_only_freezes_the_vlm_where_rlinf_reads_it(project):
    expert_only = "actor.model.openpi.train_expert_only=true"
    assert imported(project, expert_only)[1].finetune.freeze == ["vision", "vlm"]
    result, ours = imported(project, expert_only, "actor.model.openpi.task=sft")
    assert ours.finetune.freeze == [] and "not read" in line(result, "train_expert_only")


def test_a_folder_becomes_a_dataset_and_weights_a_model(project):
    overrides = ("data.train_data_paths=/data/mine", "actor.model.model_path=/weights/pi0")
    result, ours = imported(project, *overrides)
    assert [use.origin.path for use in ours.datasets] == ["/data/mine"] and ours.model.base.path == "/weights/pi0"
    assert (ours.datasets[0].name, ours.model_name) == ("mine", "mine")
    assert {str(path) for path in result.files} == {
        f"config/{k}/mine.yaml" for k in ("experiments", "datasets", "models")
    }
    again, ours = imported(project, *overrides, name="another")
    assert (ours.datasets[0].name, ours.model_name) == ("mine", "mine"), "a file that says the same is taken"
    assert list(again.files) == [Path("config/experiments/another.yaml")]


@pytest.mark.parametrize("folder", ["./data/mine", "../mine", "~/mine", "data/deep/mine", "data/there"])
def test_folders_are_told_from_hub_ids(project, folder):
    Path("data/there").mkdir(parents=True)
    assert imported(project, f"data.train_data_paths={folder}")[1].datasets[0].origin.path == folder


def test_several_datasets_and_their_older_name(project):
    entries = "[{dataset_path: /data/a, weight: 2.0}, {path: /data/b}, /data/c]"
    content = yaml.safe_load(yaml.safe_dump(LIBERO))
    content["data"] = {"data_paths": yaml.safe_load(entries)}
    result, ours = imported(project, content=content)
    assert [(use.origin.path, use.weight) for use in ours.datasets] == [("/data/a", 2), ("/data/b", 1), ("/data/c", 1)]
    assert "reads the first only" in result.files[Path("config/experiments/mine.yaml")]


def test_hub_ids(project):
    known = "data.train_data_paths=physical-intelligence/libero"
    assert [use.name for use in imported(project, known)[1].datasets] == ["libero"]
    pinned = ("data.train_data_paths=org/robot@v2.1", "actor.model.model_path=org/weights@0123abc")
    _, ours = imported(project, *pinned)
    assert (ours.datasets[0].origin.repo, ours.datasets[0].origin.revision) == ("org/robot", "v2.1")
    assert (ours.model.base.repo, ours.model.base.revision) == ("org/weights", "0123abc")


def test_the_model_follows_the_format_or_pi05(project):
    assert imported(project, "actor.model.openpi.config_name=pi05_libero")[1].model.variant == "pi05"
    assert imported(project, "actor.model.pi05=true")[1].model.variant == "pi05"
    _, ours = imported(project, "actor.model.openpi.max_token_len=64")
    assert (ours.model.variant, ours.model.max_token_len) == ("pi0", 64)


def test_what_the_format_says_otherwise_is_told(project):
    keys = {"action_horizon": 20, "num_images_in_input": 3, "discrete_state_input": "true"}
    result, _ = imported(project, *(f"actor.model.openpi.{key}={value}" for key, value in keys.items()))
    for key in keys:
        assert line(result, key).startswith("left out") and "format pi0_libero has" in line(result, key)
    result, _ = imported(project, "actor.model.openpi.action_horizon=50", "actor.optim.adam_beta2=0.999")
    assert line(result, "action_horizon").startswith("checked")
    assert line(result, "adam_beta2").startswith("left out")


def test_epochs_count_where_steps_do_not_and_backends_are_translated(project):
    result, _ = imported(project, "runner.max_epochs=500")
    assert "whichever comes first" in line(result, "max_epochs")
    result, ours = imported(
        project, "runner.max_steps=-1", "runner.max_epochs=500", "runner.logger.logger_backends=[wandb, swanlab]"
    )
    assert ours.train.steps == 500 and "a pass over the dataset" in line(result, "max_epochs")
    assert (ours.logging.tensorboard, ours.logging.wandb) == (False, "online")
    assert "there is no swanlab" in line(result, "logger_backends")


def test_whatever_is_said_to_become_ours_does(project):
    """Each word that is carried or translated changes the experiment."""
    changes = {
        "runner.max_steps": 7,
        "runner.save_interval": 7,
        "runner.val_check_interval": 7,
        "runner.log_interval": 7,
        "runner.logger.logger_backends": "[wandb]",
        "cluster.num_nodes": 2,
        "cluster.component_placement.*": "{actor: 0-3}",
        "data.train_data_paths": "/data/mine",
        "data.num_workers": 2,
        "actor.micro_batch_size": 8,
        "actor.global_batch_size": 64,
        "actor.seed": 7,
        "actor.optim.lr": 1e-6,
        "actor.optim.weight_decay": 0.5,
        "actor.optim.clip_grad": 0.5,
        "actor.optim.lr_scheduler": "cosine",
        "actor.optim.lr_warmup_steps": 7,
        "actor.model.model_path": "/weights/pi0",
        "actor.model.pi05": "true",
        "actor.model.precision": "fp32",
        "actor.model.is_lora": "true",
        "actor.model.openpi.config_name": "pi0_maniskill",
        "actor.model.openpi.train_expert_only": "true",
        "actor.model.openpi.max_token_len": 64,
        "actor.model.openpi.model_action_dim": 64,
        "actor.fsdp_config.gradient_checkpointing": "true",
        "actor.fsdp_config.mixed_precision.param_dtype": "fp32",
    }
    # these say something only beside another key, and have tests of their own
    together = {
        "runner.max_epochs",
        "data.data_paths",
        "data.data_path",
        "actor.optim.total_training_steps",
        "actor.optim.min_lr",
        "actor.optim.min_lr_rate",
        "actor.optim.lr_warmup_steps_ratio",
        "actor.model.lora_rank",
        "actor.model.lora_path",
        "actor.fsdp_config.amp_autocast.precision",
    }
    assert changes.keys() | together == {word.theirs for word in VOCABULARY if word.ours}
    _, before = imported(project)
    for key, value in changes.items():
        _, after = imported(project, f"{key.removesuffix('.*')}={value}")
        assert after != before, key


def test_each_word_stands_once_and_the_docs_have_them_all():
    assert len(WORDS) == len(VOCABULARY)
    docs = (ROOT / "docs/import_rlinf.md").read_text()
    assert table() in docs, "docs/import_rlinf.md: paste what `python tools/import_rlinf.py --vocabulary` prints"


def typed(project, *args: str) -> subprocess.CompletedProcess:
    return warm.run([ROOT / "tools/import_rlinf.py", theirs(project), *args])


def test_typed(project):
    result = typed(project, "data.train_data_paths=/data/mine", "--name", "my_exp", "runner.max_steps=10")
    assert result.returncode == 0, result.stderr
    assert "translated  runner.max_steps: 10 → train.steps" in result.stdout.splitlines()
    last = result.stdout.splitlines()[-2:]
    assert last == [
        "written: config/datasets/my_exp.yaml, config/experiments/my_exp.yaml",
        "next: snakemake results/my_exp/checkpoint.json",
    ]
    assert resolve("my_exp").train.steps == 10


def test_typed_nothing_is_overwritten_without_force(project):
    out = Path("config/experiments/my_exp.yaml")
    assert typed(project, "--out", str(out)).returncode == 0
    before = out.read_text()
    assert typed(project, "--out", str(out)).returncode == 0, "the same once more is no change"
    refused = typed(project, "--out", str(out), "runner.max_steps=10", "data.train_data_paths=/data/mine")
    assert refused.returncode == 1
    assert f"error: {out}: exists and is another; nothing is written" in refused.stderr
    assert out.read_text() == before and not Path("config/datasets/my_exp.yaml").exists()
    assert typed(project, "--out", str(out), "runner.max_steps=10", "--force").returncode == 0
    assert resolve("my_exp").train.steps == 10


def test_typed_what_does_not_resolve_is_told_and_not_written(project):
    result = typed(project, "--name", "my_exp", "cluster.component_placement={actor: 0-2}")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "error: nothing is written: config/experiments/my_exp.yaml: train.global_batch_size" in result.stderr
    assert not Path("config/experiments/my_exp.yaml").exists()


def test_the_same_file_gives_the_same_bytes(project):
    first, second = (translate(theirs(project), "mine", overrides=["data.train_data_paths=/data/mine"]) for _ in "ab")
    assert first == second


def test_smoke_of_an_import_resolves(project):
    imported(project)
    assert resolve("mine~smoke").train.ema is None
