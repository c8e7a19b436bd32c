"""Exports are whole or not there, hold what the checkpoint holds, and say what the other side does otherwise.

That lerobot acts on one as we do is in tests/parity/test_export_lerobot.py.
"""

import errno
import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from pisft.canonical import write_json
from pisft.config import Resolved, resolve
from pisft.config.format import FormatConfig
from pisft.config.model import ModelConfig
from pisft.data.statistics.norm_stats import NormStats
from pisft.data.statistics.normalise import Stats, normalise, unnormalise
from pisft.data.transforms.format import clean_prompt
from pisft.data.transforms.tokenizer import BytesTokenizer
from pisft.export import checkpoint as checkpoints
from pisft.export import lerobot, openpi, weights
from pisft.export.checkpoint import PUBLISHED, Checkpoint, ExportError, read_checkpoint
from pisft.export.lerobot_readme import differences
from pisft.export.tokenizer import write_bytes_tokenizer
from pisft.model import Pi0, load_weights
from pisft.stages import STAGES, Node, node_of
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_checkpoint import make_checkpoint, write_index
from tiny_model import MODEL, model_config
from tiny_training import FORMAT, TRAIN

ROOT = Path(__file__).parents[2]

REPO = "physical-intelligence/libero"


@pytest.fixture
def run_dir(tmp_path):
    return make_checkpoint(tmp_path, model_config())


def export_to(name, run_dir):
    return lerobot.export(run_dir) if name == "lerobot" else openpi.export(run_dir, [REPO])


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def experiment(datasets=None, **evaluation) -> Resolved:
    local = [{"name": "mine", "origin": {"source": "local", "path": "x"}}]
    content = {
        "name": "tiny",
        "model_name": "tiny",
        "model": MODEL,
        "format": FORMAT,
        "train": TRAIN,
        "simulators": {},
        "eval": evaluation,
    }
    return Resolved.model_validate(content | {"datasets": datasets or local})


def loop(replan_steps):
    required = {"simulator": "mw", "suites": ["one"], "episodes_per_task": 1, "batch_size": 1}
    return {"closed_loop": required | {"replan_steps": replan_steps}}


def test_openpi_and_rlinf_find_the_same_weights_and_the_statistics_under_every_id(run_dir):
    openpi.export(run_dir, ["mine", REPO])
    files, checkpoint = contents(run_dir / "export/openpi"), contents(run_dir / "checkpoint")
    assert files.pop("model.safetensors") == checkpoint["model.safetensors"]
    config = json.loads(files.pop("config.json"))
    assert (config["action_horizon"], config["action_dim"], config["precision"]) == (4, 32, "float32")
    assert REPO in files.pop("README.md").decode()
    assert set(files) == {f"{place}{asset}/norm_stats.json" for place in ("", "assets/") for asset in ("mine", REPO)}
    assert set(files.values()) == {checkpoint["norm_stats.json"]}


def test_the_weights_are_copied_where_they_cannot_be_linked(run_dir, monkeypatch):
    openpi.export(run_dir, [REPO])
    linked = run_dir / "export/openpi/model.safetensors"
    assert linked.samefile(run_dir / "checkpoint/model.safetensors")

    def refuse(*_):
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", refuse)
    openpi.export(run_dir, [REPO])
    assert not linked.samefile(run_dir / "checkpoint/model.safetensors")
    assert linked.read_bytes() == (run_dir / "checkpoint/model.safetensors").read_bytes()


def test_the_statistics_go_by_the_first_hub_dataset_or_the_first_name():
    hub = {"name": "libero", "origin": {"source": "hub", "repo": REPO, "revision": "v2.0"}}
    local = {"name": "mine", "origin": {"source": "local", "path": "x"}}
    assert openpi.repo_id_of(experiment([local, hub])) == REPO
    assert openpi.repo_id_of(experiment([local])) == "mine"


def test_the_statistics_go_where_upstream_looks_for_a_published_format_whatever_the_dataset():
    assert openpi.repo_id_of(resolve("pi0_realworld", ROOT)) == "realworld_franka_bin_relocation"


@pytest.mark.parametrize(("normalisation", "dims"), [("zscore", (4, 3)), ("quantile", (32, 32))])
def test_padding_is_left_to_lerobot_where_that_is_the_same(normalisation, dims):
    content = {
        "features": {"state": {"shape": [4]}, "actions": {"shape": [3]}},
        "cameras": {},
        "state": "state",
        "actions": "actions",
        "pad_to": 32,
        "normalisation": normalisation,
        "action_horizon": 4,
    }
    stats = Stats(*(np.arange(32.0) + i for i in range(4)))
    padded = Checkpoint(Path(), None, FormatConfig.model_validate(content), NormStats(stats, stats))
    found = padded.unpadded()
    assert (len(found.stats.state.mean), len(found.stats.actions.q99)) == dims
    np.testing.assert_array_equal(found.stats.state.std, stats.std[: dims[0]])
    assert found.format.pad_to == (None if normalisation == "zscore" else 32)


@pytest.mark.parametrize("repo_id", ["../elsewhere", "/tmp/x", "a/b/c", "", "a/.."])
def test_a_repo_id_that_is_a_path_is_refused(run_dir, repo_id):
    with pytest.raises(ExportError, match="expected owner/name"):
        openpi.export(run_dir, [repo_id])
    assert not (run_dir / "export").exists()


@pytest.mark.parametrize("to", ["lerobot", "openpi"])
def test_the_same_checkpoint_gives_the_same_bytes_and_leaves_nothing_else(run_dir, to):
    export_to(to, run_dir)
    before = contents(run_dir / "export")
    export_to(to, run_dir)
    assert contents(run_dir / "export") == before
    assert [path.name for path in (run_dir / "export").iterdir()] == [to]


@pytest.mark.parametrize("to", ["lerobot", "openpi"])
def test_an_export_that_fails_leaves_the_one_before(run_dir, to, monkeypatch):
    export_to(to, run_dir)
    before = contents(run_dir / "export")

    def disk_full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    module = lerobot if to == "lerobot" else openpi
    monkeypatch.setattr(module, "write_text", disk_full)
    with pytest.raises(ExportError, match=rf"export/{to}: cannot be written.*No space left.*make room"):
        export_to(to, run_dir)
    assert contents(run_dir / "export") == before
    monkeypatch.undo()

    # the last step of all: the old one stands aside, and the new one cannot take its place
    rename = os.rename

    def second_fails(source, target):
        if source.name.endswith(".new"):
            disk_full()
        rename(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(ExportError):
        export_to(to, run_dir)
    assert contents(run_dir / "export") == before


@pytest.mark.parametrize("to", ["lerobot", "openpi"])
def test_a_checkpoint_that_is_missing_or_damaged_says_how_to_get_one(run_dir, to, tmp_path):
    with pytest.raises(ExportError, match=r"checkpoint\.json: cannot be read.*run: snakemake results/none/"):
        export_to(to, tmp_path / "results/none")
    path = run_dir / "checkpoint/model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ExportError, match=r"has \d+ bytes, .*checkpoint\.json says \d+; run: snakemake"):
        export_to(to, run_dir)
    write_index(run_dir)
    with pytest.raises(ExportError, match=r"model\.safetensors: cannot be read as safetensors"):
        export_to(to, run_dir)
    save_file({"other": torch.zeros(3)}, path)
    write_index(run_dir)
    with pytest.raises(ExportError, match=r"model\.safetensors: .*openpi's layout"):
        export_to(to, run_dir)
    path.unlink()
    with pytest.raises(ExportError, match=r"model\.safetensors: cannot be read: No such file.*run: snakemake"):
        export_to(to, run_dir)
    assert not (run_dir / "export").exists() or not any((run_dir / "export").iterdir())


def test_lerobots_weights_are_ours_and_the_embedding_has_its_own_name(run_dir):
    lerobot.export(run_dir)
    path = run_dir / "export/lerobot/model.safetensors"
    with safe_open(path, "pt") as exported, safe_open(run_dir / "checkpoint/model.safetensors", "pt") as stored:
        names = {f"model.{name}": name for name in stored.keys()}  # noqa: SIM118 (not a dict)
        assert set(exported.keys()) == {*names, f"model.{weights.EMBEDDING}"}
        for theirs, name in [*names.items(), (f"model.{weights.EMBEDDING}", weights.EMBED)]:
            assert torch.equal(exported.get_tensor(theirs), stored.get_tensor(name)), name
        assert exported.metadata() == {"format": "pt"}
    load_weights(Pi0(model_config()), path)


def test_weights_are_never_held_in_memory(tmp_path, monkeypatch):
    source = tmp_path / "model.safetensors"
    save_file({weights.EMBED: torch.randn(1000, 1000), "other": torch.randn(1000, 1000)}, source)  # 4 MB each
    monkeypatch.setattr(weights, "CHUNK", 1 << 16)
    tracemalloc.start()
    try:
        weights.copy_weights(source, tmp_path / "copy.safetensors")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "copy.safetensors").stat().st_size > 12_000_000
    assert peak < 1_000_000


@pytest.mark.parametrize("method", ["zscore", "quantile"])
def test_folded_statistics_make_lerobots_formulas_openpis(method):
    rng = np.random.default_rng(0)
    centre, width = rng.normal(0, 10, 8), 10.0 ** rng.uniform(-2, 2, 8)
    # nearly constant, so that the epsilons show, and constant: also so large that fp32 sees no epsilon beside it
    centre, width = np.r_[centre, 0.0, 0.25, 1000.0], np.r_[width, 1e-5, 0.0, 0.0]
    stats = Stats(mean=centre, std=width, q01=centre - width, q99=centre + width)
    x = (centre + width * rng.normal(size=(50, len(centre)))).astype(np.float32)
    theirs = lerobot.folded(stats, method)
    assert {value.dtype for value in theirs.values()} == {np.dtype(np.float32)}
    if method == "zscore":
        scale, shift = theirs["std"], theirs["mean"]
        normalised, back = (x - shift) / (scale + np.float32(0.0)), normalise(x, stats, method) * scale + shift
    else:
        width = theirs["q99"] - theirs["q01"]
        width = np.where(width == 0, np.float32(1e-6), width)
        normalised = 2 * (x - theirs["q01"]) / width - 1
        back = (normalise(x, stats, method) + 1) * width / 2 + theirs["q01"]
    np.testing.assert_allclose(normalised, normalise(x, stats, method), atol=2e-4)
    np.testing.assert_allclose(back, unnormalise(normalise(x, stats, method), stats, method), rtol=1e-6, atol=2e-5)


def test_the_bytes_tokenizer_in_the_hugging_face_format_gives_our_ids(tmp_path):
    from tokenizers import Tokenizer

    ours = BytesTokenizer(200)
    write_bytes_tokenizer(tmp_path / "prompt", with_state=False)
    theirs = Tokenizer.from_file(str(tmp_path / "prompt/tokenizer.json"))
    every_byte = "".join(map(chr, range(0x20, 0x180)))
    for task in ["press", " close_the\ndrawer\n", "é 夢", "_a_", every_byte]:
        ids = ours.encode(clean_prompt(task)) if len(task) < 100 else [1, *ours.ids(clean_prompt(task)), 12]
        # with and without the newline that lerobot's step adds
        assert theirs.encode(task).ids == theirs.encode(task + "\n").ids == ids

    write_bytes_tokenizer(tmp_path / "state", with_state=True)
    theirs = Tokenizer.from_file(str(tmp_path / "state/tokenizer.json"))
    state = np.array([-1.0, 0.3, 2.0])
    assert theirs.encode("Task: pick it, State: 0 166 255;\nAction: ").ids == ours.encode("pick it", state)


NOTES = {
    "Camera: give the dataset's `wrist` as `observation.images.left_wrist_0_rgb`": {
        "cameras": {"base_0_rgb": "observation.image", "left_wrist_0_rgb": "wrist"}
    },
    "Cameras: the model has none": {"cameras": {}},
    "State: give `observation.state` as `a`[0:2], `b` side by side": {"state": [{"key": "a", "dims": [0, 2]}, "b"]},
    "Actions: they are `actions`.": {"actions": "actions"},
    "Relative actions: select_action adds the state of the step": {"delta_mask": [3, -1]},
    "Prompt: it is always 'go'": {"prompt": {"from_task": False, "default": "go"}},
    "Prompt: where there is no task, give 'go'": {"prompt": {"default": "go"}},
}


@pytest.mark.parametrize("note", NOTES)
def test_what_lerobot_does_otherwise_is_said_where_it_is_so_and_only_there(tmp_path, note):
    model = model_config()
    plain = lerobot.export(make_checkpoint(tmp_path, model, "plain"))
    found = lerobot.export(make_checkpoint(tmp_path, model, "other", **NOTES[note]))
    assert any(line.startswith(note) for line in found)
    assert not any(line.startswith(note) for line in plain)
    readme = (tmp_path / "results/other/export/lerobot/README.md").read_text()
    assert all(f"- {line}\n" in readme for line in found)


def test_a_published_size_is_lerobots_and_openpis_own_and_its_tokenizer_is_the_hubs(run_dir):
    tiny = read_checkpoint(run_dir)
    model = ModelConfig(variant="pi05", tokenizer={"kind": "paligemma"}, **PUBLISHED)
    published = checkpoints.Checkpoint(tiny.folder, model, tiny.format, tiny.stats)
    assert lerobot.config(published, None)["paligemma_variant"] == "gemma_2b"
    steps = {step["registry_name"]: step["config"] for step in lerobot.preprocessor(published, "google/x")}
    assert steps["tokenizer_processor"]["tokenizer_name"] == "google/x"
    notes = differences(published, lerobot.camera_keys(published), "google/x")
    assert not any(note.startswith("Size") for note in notes)
    assert any("hf auth login" in note for note in notes)
    assert openpi.differences(published) == []  # quantiles are π₀.₅'s

    assert lerobot.config(tiny, None)["paligemma_variant"] == lerobot.NO_VARIANT
    kinds = [note.split(":")[0] for note in openpi.differences(tiny)]
    assert kinds == ["Size", "Normalisation", "Tokenizer"]


def test_a_setting_that_no_export_knows_is_said(run_dir):
    class Learned(FormatConfig):
        rotation: str | None = None

    checkpoint = read_checkpoint(run_dir)
    content = checkpoint.format.model_dump()
    for rotation, said in ((None, False), ("rot6d", True)):
        fmt = Learned.model_validate(content | {"rotation": rotation})
        changed = checkpoints.Checkpoint(checkpoint.folder, checkpoint.model, fmt, checkpoint.stats)
        for notes in (openpi.differences(changed), differences(changed, lerobot.camera_keys(changed), "t")):
            assert any(note.startswith("Format: rotation: ") for note in notes) == said


def test_cameras_keep_the_datasets_keys_where_lerobot_takes_them_and_come_in_the_slots_order(run_dir):
    content = json.loads((run_dir / "checkpoint/format.json").read_text())
    cameras = {"right_wrist_0_rgb": "image", "base_0_rgb": "observation.images.z", "left_wrist_0_rgb": "observation.a"}
    write_json(run_dir / "checkpoint/format.json", content | {"cameras": cameras})
    write_index(run_dir)
    lerobot.export(run_dir)
    config = json.loads((run_dir / "export/lerobot/config.json").read_text())
    assert list(config["input_features"]) == [
        "observation.images.z",
        "observation.images.left_wrist_0_rgb",
        "observation.images.right_wrist_0_rgb",
        "observation.state",
    ]


def test_a_new_replan_steps_makes_lerobots_export_stale_and_a_new_dataset_name_openpis():
    one, other = experiment(**loop(2)), experiment(**loop(3))
    assert STAGES["export_lerobot"].slice(one) != STAGES["export_lerobot"].slice(other)
    assert STAGES["export_openpi"].slice(one) == STAGES["export_openpi"].slice(other)
    renamed = experiment([{"name": "other", "origin": {"source": "local", "path": "x"}}], **loop(2))
    assert STAGES["export_openpi"].slice(one) != STAGES["export_openpi"].slice(renamed)
    assert STAGES["export_lerobot"].slice(one) == STAGES["export_lerobot"].slice(renamed)


def test_exports_are_artefacts_of_the_graph():
    assert node_of("results/a/export/lerobot/config.json") == Node("export_lerobot", "a")
    assert node_of("results/a/export/openpi/model.safetensors") == Node("export_openpi", "a")
