"""openpi's JAX arrays become our parameters, whatever the dimensions; what does not fit is listed."""

from pathlib import Path

import pytest
import torch
from pisft.model import ModelConfig, Pi0, WeightsError, load_weights
from pisft.model.jax_names import read_jax
from pisft.model.weights import write_weights
from safetensors import safe_open
from safetensors.torch import save_file

IMG, LLM = "PaliGemma/img", "PaliGemma/llm"
HEADS, HEAD_DIM = 4, 6  # 24 wide together: neither the VLM's 20 nor the expert's 8


def tiny(variant: str, kv_heads: int = 1) -> Pi0:
    config = ModelConfig(
        variant=variant,
        image_size=20,
        vision={"width": 12, "depth": 2, "mlp": 18, "heads": 3, "patch": 5},
        depth=3,
        heads=HEADS,
        kv_heads=kv_heads,
        head_dim=HEAD_DIM,
        vlm={"width": 20, "mlp": 28},
        expert={"width": 8, "mlp": 10},
        vocab_size=11,
        action_dim=7,
        tokenizer={"kind": "bytes"},
    )
    torch.manual_seed(0)
    model = Pi0(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model


def to_jax(model: Pi0) -> dict[str, torch.Tensor]:
    """The same weights as openpi's JAX model keeps them: the other direction, written down on its own."""
    pi05 = model.config.variant == "pi05"
    arrays = {}

    def linear(name: str, module) -> None:
        arrays[f"{name}/kernel"], arrays[f"{name}/bias"] = module.weight.T, module.bias

    def layer_norm(name: str, modules: list) -> None:
        arrays[f"{name}/scale"] = torch.stack([m.weight for m in modules])
        arrays[f"{name}/bias"] = torch.stack([m.bias for m in modules])

    def rms_norm(name: str, modules: list, adaptive: bool) -> None:
        if adaptive:
            arrays[f"{name}/Dense_0/kernel"] = torch.stack([m.dense.weight.T for m in modules])
            arrays[f"{name}/Dense_0/bias"] = torch.stack([m.dense.bias for m in modules])
        else:
            arrays[f"{name}/scale"] = torch.stack([m.weight for m in modules])

    def heads_out(weight: torch.Tensor, head_dim: int) -> torch.Tensor:
        """(heads · head_dim, in) → (heads, in, head_dim)."""
        return torch.stack([head.T for head in weight.split(head_dim)])

    def heads_in(weight: torch.Tensor, head_dim: int) -> torch.Tensor:
        """(out, heads · head_dim) → (heads, head_dim, out)."""
        return torch.stack([head.T for head in weight.split(head_dim, dim=1)])

    vision = model.vision
    arrays[f"{IMG}/embedding/kernel"] = vision.patch_embedding.weight.permute(2, 3, 1, 0)
    arrays[f"{IMG}/embedding/bias"] = vision.patch_embedding.bias
    arrays[f"{IMG}/pos_embedding"] = vision.position_embedding.weight[None]
    arrays[f"{IMG}/Transformer/encoder_norm/scale"] = vision.post_layernorm.weight
    arrays[f"{IMG}/Transformer/encoder_norm/bias"] = vision.post_layernorm.bias
    linear(f"{IMG}/head", model.projector)
    block = f"{IMG}/Transformer/encoderblock"
    layer_norm(f"{block}/LayerNorm_0", [layer.layer_norm1 for layer in vision.layers])
    layer_norm(f"{block}/LayerNorm_1", [layer.layer_norm2 for layer in vision.layers])
    for theirs, ours in (("Dense_0", "fc1"), ("Dense_1", "fc2")):
        modules = [getattr(layer, ours) for layer in vision.layers]
        arrays[f"{block}/MlpBlock_0/{theirs}/kernel"] = torch.stack([m.weight.T for m in modules])
        arrays[f"{block}/MlpBlock_0/{theirs}/bias"] = torch.stack([m.bias for m in modules])
    attention = f"{block}/MultiHeadDotProductAttention_0"
    for theirs, ours in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
        modules = [getattr(layer, ours) for layer in vision.layers]
        kernels = [heads_out(m.weight, 4).transpose(0, 1) for m in modules]  # (in, heads, head_dim)
        arrays[f"{attention}/{theirs}/kernel"] = torch.stack(kernels)
        arrays[f"{attention}/{theirs}/bias"] = torch.stack([torch.stack(m.bias.split(4)) for m in modules])
    modules = [layer.out_proj for layer in vision.layers]
    arrays[f"{attention}/out/kernel"] = torch.stack([heads_in(m.weight, 4) for m in modules])
    arrays[f"{attention}/out/bias"] = torch.stack([m.bias for m in modules])

    arrays[f"{LLM}/embedder/input_embedding"] = model.embed_tokens.weight
    for side, end in (("vlm", ""), ("expert", "_1")):
        streams = [getattr(layer, side) for layer in model.layers]
        adaptive = pi05 and side == "expert"
        q, k, v = (
            torch.stack([heads_out(getattr(s, name).weight, HEAD_DIM) for s in streams])
            for name in ("q_proj", "k_proj", "v_proj")
        )
        if q.shape == k.shape:
            arrays[f"{LLM}/layers/attn/qkv_einsum{end}/w"] = torch.stack([q, k, v], dim=1)
        else:
            arrays[f"{LLM}/layers/attn/q_einsum{end}/w"] = q
            arrays[f"{LLM}/layers/attn/kv_einsum{end}/w"] = torch.stack([k, v], dim=1)
        arrays[f"{LLM}/layers/attn/attn_vec_einsum{end}/w"] = torch.stack(
            [heads_in(s.o_proj.weight, HEAD_DIM) for s in streams]
        )
        arrays[f"{LLM}/layers/mlp{end}/gating_einsum"] = torch.stack(
            [torch.stack([s.gate_proj.weight.T, s.up_proj.weight.T]) for s in streams]
        )
        arrays[f"{LLM}/layers/mlp{end}/linear"] = torch.stack([s.down_proj.weight.T for s in streams])
        rms_norm(f"{LLM}/layers/pre_attention_norm{end}", [s.input_layernorm for s in streams], adaptive)
        rms_norm(f"{LLM}/layers/pre_ffw_norm{end}", [s.post_attention_layernorm for s in streams], adaptive)
    arrays[f"{LLM}/final_norm/scale"] = model.vlm_norm.weight
    if pi05:
        linear(f"{LLM}/final_norm_1/Dense_0", model.expert_norm.dense)
    else:
        arrays[f"{LLM}/final_norm_1/scale"] = model.expert_norm.weight
    only_pi0 = ("state_proj", "action_time_mlp_in", "action_time_mlp_out")
    for name in ("action_in_proj", "action_out_proj", *(("time_mlp_in", "time_mlp_out") if pi05 else only_pi0)):
        linear(name, getattr(model, name))
    return {name: array.detach().clone(memory_format=torch.contiguous_format) for name, array in arrays.items()}


def converted(model: Pi0, arrays: dict[str, torch.Tensor], folder: Path) -> Pi0:
    """A model with `model`'s dimensions and the weights in `arrays`."""
    save_file(arrays, folder / "jax.safetensors")
    with safe_open(folder / "jax.safetensors", "pt") as stored:
        write_weights(model.config, read_jax(model.config, stored, "the checkpoint"), folder / "model.safetensors")
    other = Pi0(model.config)
    load_weights(other, folder / "model.safetensors")
    return other


def assert_same(found: Pi0, expected: Pi0) -> None:
    for name, parameter in expected.named_parameters():
        assert torch.equal(found.get_parameter(name), parameter), name


@pytest.mark.parametrize("variant", ["pi0", "pi05"])
@pytest.mark.parametrize("kv_heads", [1, 2, HEADS])
def test_every_parameter_comes_back_from_the_jax_arrays(variant, kv_heads, tmp_path):
    model = tiny(variant, kv_heads)
    assert_same(converted(model, to_jax(model), tmp_path), model)


@pytest.mark.parametrize("name", ["params/{}", "{}/value", "params/{}/value"])
def test_what_saving_adds_to_all_names_is_taken_off(name, tmp_path):
    model = tiny("pi0")
    arrays = {name.format(array): value for array, value in to_jax(model).items()}
    assert_same(converted(model, arrays, tmp_path), model)


def test_each_array_keeps_its_dtype(tmp_path):
    model = tiny("pi0")
    arrays = to_jax(model)
    arrays[f"{LLM}/layers/mlp/linear"] = arrays[f"{LLM}/layers/mlp/linear"].bfloat16()
    save_file(arrays, tmp_path / "jax.safetensors")
    with safe_open(tmp_path / "jax.safetensors", "pt") as stored:
        dtypes = {name: tensor.dtype for name, tensor in read_jax(model.config, stored, "the checkpoint")}
    for name, dtype in dtypes.items():
        assert dtype == (torch.bfloat16 if name.endswith("vlm.down_proj.weight") else torch.float32), name


def refused(model: Pi0, arrays: dict[str, torch.Tensor], folder: Path, *expected: str) -> None:
    with pytest.raises(WeightsError) as error:
        converted(model, arrays, folder)
    for text in ("the checkpoint", *expected):
        assert text in str(error.value)
    assert not (folder / "model.safetensors").exists()


def test_missing_surplus_and_misshaped_arrays_are_listed_together(tmp_path):
    model = tiny("pi05")
    arrays = to_jax(model)
    del arrays["time_mlp_in/bias"]
    arrays[f"{LLM}/layers/attn/q_einsum/lora_a"] = torch.zeros(3, 4, 20, 2)
    arrays[f"{LLM}/final_norm/scale"] = torch.zeros(21)
    refused(
        model,
        arrays,
        tmp_path,
        "missing time_mlp_in/bias",
        f"surplus {LLM}/layers/attn/q_einsum/lora_a",
        f"shape of {LLM}/final_norm/scale: found [21], expected [20]",
    )


def test_an_array_of_the_same_size_in_another_order_of_axes_is_refused(tmp_path):
    model = tiny("pi0")
    arrays = to_jax(model)
    name = f"{LLM}/layers/attn/attn_vec_einsum/w"
    arrays[name] = arrays[name].transpose(1, 2).contiguous()
    refused(model, arrays, tmp_path, f"shape of {name}: found [3, 6, 4, 20], expected [3, 4, 6, 20]")


def test_the_other_variants_arrays_are_refused(tmp_path):
    arrays = to_jax(tiny("pi05"))
    refused(tiny("pi0"), arrays, tmp_path, "missing state_proj/kernel", "surplus time_mlp_in/kernel")
