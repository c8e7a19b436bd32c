"""Adapters go where each published choice puts them, lose no weight on the way, and come back as they were saved."""

import json
import re

import pytest
import torch
from full_size import full_size
from pisft.config.finetune import Lora
from pisft.model import Pi0, WeightsError, load_weights, lora, save_weights
from pisft.model.weights import file_name
from pisft.train.distribution.parallel import whole
from pisft.train.distribution.world import World
from pisft.train.loop import Trainer
from safetensors.torch import load_file, save_file
from tiny_model import model_config
from tiny_training import KEY, make_experiment, run

VLM = "paligemma_with_expert.paligemma.model"
EXPERT = "paligemma_with_expert.gemma_expert.model"
GEMMA = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
GEMMA += ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
SIGLIP = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"]
HEADS = {
    "pi0": ["action_in_proj", "action_out_proj", "state_proj", "action_time_mlp_in", "action_time_mlp_out"],
    "pi05": ["action_in_proj", "action_out_proj", "time_mlp_in", "time_mlp_out"],
}
# of the last layer of the VLM only keys and values are ever read
VLM_LINEAR = [f"{VLM}.language_model.layers.{i}.{m}" for i in range(17) for m in GEMMA]
VLM_LINEAR += [f"{VLM}.language_model.layers.17.self_attn.{m}_proj" for m in "kv"]
EXPERT_LINEAR = [f"{EXPERT}.layers.{i}.{m}" for i in range(18) for m in GEMMA]
SIGLIP_LINEAR = [f"{VLM}.vision_tower.vision_model.encoder.layers.{i}.{m}" for i in range(27) for m in SIGLIP]


def expected(targets, variant, every):
    """(module → rank, names trained in full) of a preset, from its description."""
    outside = {name for name in every if not name.startswith("paligemma_with_expert.paligemma.")}
    if targets == "openpi":
        train = {name for name in every if ".vision_tower." in name or ".multi_modal_projector." in name}
        train |= {name for name in every if name.split(".")[0] in HEADS[variant]}
        return dict.fromkeys(VLM_LINEAR, 16) | dict.fromkeys(EXPERT_LINEAR, 32), train
    if targets == "rlinf":
        return dict.fromkeys(VLM_LINEAR + SIGLIP_LINEAR, 32), outside
    heads = [name for name in HEADS[variant] if not name.startswith("time")]
    return dict.fromkeys([n for n in EXPERT_LINEAR if re.search("[qv]_proj", n)] + heads, 16), set()


@pytest.mark.parametrize("variant", ["pi0", "pi05"])
@pytest.mark.parametrize("targets", ["openpi", "rlinf", "lerobot"])
def test_each_preset_trains_what_upstream_trains_at_full_size(targets, variant):
    with torch.device("meta"):
        model = Pi0(full_size(variant))
    every = {file_name(name) for name, _ in model.named_parameters()}
    lora.wrap(model, Lora(method="lora", targets=targets))
    ranks, train = expected(targets, variant, every)
    adapters = {lora.module_name(name): layer.r[lora.ADAPTER] for name, layer in lora.adapted(model)}
    assert adapters == ranks
    found = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {file_name(name) for name in found if not lora.is_adapter(name)} == train
    assert sum(lora.is_adapter(name) for name in found) == 2 * len(ranks)
    assert {file_name(lora.plain_name(n)) for n, _ in model.named_parameters() if not lora.is_adapter(n)} == every


def tiny(seed=0, **config):
    torch.manual_seed(seed)
    model = Pi0(model_config())
    if config:
        lora.wrap(model, Lora(method="lora", **config))
        lora.initialise(model, Lora(method="lora", **config), seed)
    return model


def randomise(model):
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(torch.randn_like(p) * 0.05)


def read(folder):
    return {path.name: load_file(path) for path in folder.rglob("*.safetensors")}


@pytest.mark.parametrize("targets", ["openpi", "rlinf", "lerobot", [r".*\.self_attn\.[kv]_proj"]])
def test_loading_is_strict_with_adapters_on(tmp_path, targets):
    base = tiny(1)
    save_weights(base, tmp_path / "model.safetensors")
    wrapped = tiny(2, targets=targets)
    load_weights(wrapped, tmp_path)
    plain = dict(base.named_parameters())
    for name, p in wrapped.named_parameters():
        if not lora.is_adapter(name):
            assert torch.equal(p, plain[lora.plain_name(name)]), name
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors[file_name("layers.0.vlm.k_proj.weight")]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"missing .*layers\.0\.self_attn\.k_proj\.weight"):
        load_weights(wrapped, tmp_path)


def test_adapters_start_as_the_presets_do():
    for targets, deviation in (("openpi", 0.01), ("rlinf", 1 / 32)):
        (_, layer), *_ = lora.adapted(tiny(targets=targets))
        assert layer.lora_A[lora.ADAPTER].weight.std().item() == pytest.approx(deviation, rel=0.15)
        assert (layer.lora_B[lora.ADAPTER].weight.abs().sum() > 0) == (targets == "openpi")


@pytest.mark.parametrize("targets", ["openpi", "rlinf", "lerobot"])
def test_a_saved_adapter_comes_back_and_merging_gives_the_same_outputs(tmp_path, targets):
    model = tiny(targets=targets, rank=4)
    randomise(model)
    lora.save_adapter(model, tmp_path, whole)
    assert (tmp_path / "trained.safetensors").exists() == (targets != "lerobot")
    again = tiny(targets=targets, rank=4)
    load_weights(again, _saved(tiny(), tmp_path))
    lora.load_adapter(again, tmp_path / "adapter")
    for (name, a), (_, b) in zip(model.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(a, b), name

    merged = tiny(5)
    merged.load_state_dict(dict(lora.merged(model, whole)))
    x = _inputs()
    torch.testing.assert_close(merged.flow_loss(*x), model.flow_loss(*x), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(tiny().flow_loss(*x), model.flow_loss(*x), atol=1e-3)


def _saved(model, folder):
    save_weights(model, folder / "base.safetensors")
    return folder / "base.safetensors"


def _inputs():
    from pisft.model import Observation

    g = torch.Generator().manual_seed(0)
    observation = Observation(
        {"base_0_rgb": torch.rand(2, 3, 32, 32, generator=g) * 2 - 1},
        {"base_0_rgb": torch.ones(2, dtype=torch.bool)},
        torch.randn(2, 32, generator=g),
        torch.randint(0, 255, (2, 8), generator=g),
        torch.ones(2, 8, dtype=torch.bool),
    )
    return observation, *torch.randn(2, 2, 4, 32, generator=g), torch.rand(2, generator=g)


@pytest.mark.parametrize("damage", ["missing", "surplus", "shape", "rank", "alpha", "trained", "no config"])
def test_an_adapter_that_does_not_fit_is_refused(tmp_path, damage):
    model = tiny(targets="openpi", rank=4)
    lora.save_adapter(model, tmp_path, whole)
    file, config = tmp_path / "adapter/adapter_model.safetensors", tmp_path / "adapter/adapter_config.json"
    tensors, stored = load_file(file), json.loads(config.read_text())
    first = next(iter(tensors))
    if damage == "missing":
        del tensors[first]
    elif damage == "surplus":
        tensors["base_model.model.other.lora_A.weight"] = torch.zeros(1)
    elif damage == "shape":
        tensors[first] = tensors[first][:, 1:].contiguous()
    elif damage == "rank":
        stored["r"] = 8
    elif damage == "alpha":
        stored["lora_alpha"] = 1
    elif damage == "trained":
        (tmp_path / "trained.safetensors").unlink()
    save_file(tensors, file)
    config.write_text(json.dumps(stored))
    if damage == "no config":
        config.unlink()
    before = {name: p.clone() for name, p in model.named_parameters()}
    with pytest.raises(WeightsError):
        lora.load_adapter(model, tmp_path / "adapter")
    if damage != "trained":
        assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_a_pattern_that_matches_nothing_is_an_error_with_an_example():
    with pytest.raises(WeightsError, match=r"finetune.targets: 'q_proj' matches no linear module.*such as"):
        tiny(targets=["q_proj"])


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    save_weights(tiny(7), folder / "model.safetensors")
    return {"base": {"path": str(folder)}}


def experiment(folder, dataset, base, cluster=None, finetune=None, **changes):
    finetune = {"method": "lora", "targets": "openpi", "rank": 4} | (finetune or {})
    return make_experiment(folder, dataset, cluster, base, {"finetune": finetune}, **{"ema": None} | changes)


def test_training_with_adapters_leaves_the_frozen_base_as_it_was(tmp_path, image_dataset, base):
    experiment(tmp_path, image_dataset, base)
    files = run(tmp_path)
    assert {file.name for file in files} >= {"adapter_model.safetensors", "adapter_config.json", "trained.safetensors"}
    checkpoint = read(tmp_path / "results/tiny/checkpoint")
    before, after = dict(tiny(7).named_parameters()), checkpoint["model.safetensors"]
    adapters = checkpoint["adapter_model.safetensors"]
    for name, value in before.items():
        module = lora.module_name(name.rpartition(".")[0])
        touched = f"base_model.model.{module}.lora_B.weight" in adapters
        trained = file_name(name) in checkpoint["trained.safetensors"]
        assert torch.equal(after[file_name(name)], value) != (touched or trained), name


def test_going_on_from_a_saved_adapter_starts_where_it_ended(tmp_path, image_dataset, base):
    experiment(tmp_path / "first", image_dataset, base)
    run(tmp_path / "first")
    checkpoint = tmp_path / "first/results/tiny/checkpoint"
    finetune = {"adapter": str(checkpoint / "adapter")}
    experiment(tmp_path / "second", image_dataset, base, finetune=finetune, steps=0)
    run(tmp_path / "second")
    first, second = read(checkpoint), read(tmp_path / "second/results/tiny/checkpoint")
    assert first.keys() == second.keys()
    for file, tensors in first.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, second[file][name]), (file, name)


def test_a_run_with_adapters_goes_on_to_the_same_weights(tmp_path, image_dataset, base):
    experiment(tmp_path / "whole", image_dataset, base, steps=8)
    run(tmp_path / "whole")
    for steps in (5, 8):
        experiment(tmp_path / "parts", image_dataset, base, steps=steps)
        run(tmp_path / "parts")
    whole_run, parts = (read(tmp_path / name / "results/tiny/checkpoint") for name in ("whole", "parts"))
    for file, tensors in whole_run.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, parts[file][name]), (file, name)


def test_the_frozen_base_is_kept_in_bf16(tmp_path, image_dataset, base):
    config = experiment(tmp_path, image_dataset, base, precision="bf16")
    t = Trainer(config, tmp_path / "results/tiny", tmp_path / "data", KEY, World())
    assert {p.dtype for p in t.model.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in t.model.parameters() if not p.requires_grad} == {torch.bfloat16}
    assert torch.isfinite(t.update(t.batches.make(0))).all()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_adapters_train_alike_on_two_processes(tmp_path, image_dataset, base, precision):
    weights = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        experiment(folder, image_dataset, base, {"gpus": processes}, precision=precision, peak_lr=1e-3)
        run(folder)
        weights.append(json.loads((folder / "results/tiny/checkpoint.json").read_text()))
    tolerance = {"fp32": 1e-5, "bf16": 2e-2}[precision]
    assert weights[1]["val_loss"] == pytest.approx(weights[0]["val_loss"], rel=tolerance)
    assert weights[1]["train_loss"] == pytest.approx(weights[0]["train_loss"], rel=tolerance)
    assert weights[1]["files"].keys() == weights[0]["files"].keys()


@pytest.mark.parametrize("part", ["vision", "vlm", "expert"])
def test_frozen_parts_stay_as_they_were(tmp_path, image_dataset, base, part):
    make_experiment(tmp_path, image_dataset, None, base, {"finetune": {"method": "full", "freeze": [part]}})
    run(tmp_path)
    after = load_file(tmp_path / "results/tiny/checkpoint/model.safetensors")
    same = {name for name, p in tiny(7).named_parameters() if torch.equal(after[file_name(name)], p)}
    frozen = {
        "vision": "vision.",
        "vlm": ("projector.", "embed_tokens.", "layers.0.vlm."),
        "expert": "layers.0.expert.",
    }
    for name, p in tiny(7).named_parameters():
        if name.startswith(frozen[part]):
            assert name in same
        elif part != "vision" and name.startswith("vision.layers") and p.ndim == 2:
            assert name not in same
