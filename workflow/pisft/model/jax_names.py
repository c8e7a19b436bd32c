"""Maps each parameter of `Pi0` to its place in openpi's JAX arrays.

The JAX model stacks a tower's layers on axis 0, stores kernels as (in, out), gives heads an axis of their own, and
marks the action expert's arrays with `_1`. `sources(config)` is the table; start from `read_jax`. Reference: openpi's
models/pi0.py, gemma.py and siglip.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from safetensors import safe_open
from torch import Tensor

from pisft.config.model import ModelConfig, StackConfig, VisionConfig
from pisft.model.pi0 import Pi0
from pisft.model.weights import check_shapes

IMG = "PaliGemma/img"
LLM = "PaliGemma/llm"


@dataclass(frozen=True)
class Source:
    """A parameter is `array[index]`, its axes permuted by `axes` (None: unchanged), in the parameter's shape."""

    array: str
    shape: tuple[int, ...]  # of the whole array
    axes: tuple[int, ...] | None = None
    index: tuple[int, ...] = ()


Table = dict[str, Source]


def read_jax(config: ModelConfig, stored: safe_open, origin: object) -> Iterator[tuple[str, Tensor]]:
    """Yield (parameter name, tensor) from the JAX arrays in a safetensors file, one at a time.

    Names in the file may begin with `params/` (orbax' item) and end in `/value` (a saved nnx state). Raises a
    `WeightsError` about `origin` that lists the differences unless the file has exactly the arrays of this variant with
    their shapes. Each tensor has the dtype of its array.
    """
    names = _plain(stored.keys())
    table = sources(config)
    check_shapes(
        origin,
        f"this {config.variant}'s weights",
        expected={source.array: source.shape for source in table.values()},
        found={name: stored.get_slice(key).get_shape() for name, key in names.items()},
    )
    with torch.device("meta"):
        shapes = {name: p.shape for name, p in Pi0(config).named_parameters()}

    def tensor(name: str, source: Source) -> Tensor:
        key = names[source.array]
        part = stored.get_slice(key)[source.index] if source.index else stored.get_tensor(key)
        return (part.permute(source.axes) if source.axes else part).reshape(shapes[name])

    return ((name, tensor(name, source)) for name, source in table.items())


def sources(config: ModelConfig) -> Table:
    """Return the source of each parameter, by the name in `Pi0`."""
    vision, vlm, expert = config.vision, config.vlm, config.expert
    patches = (config.image_size // vision.patch) ** 2
    adaptive = config.variant == "pi05"
    if adaptive:
        linears = {"time_mlp_in": expert.width, "time_mlp_out": expert.width}
    else:
        linears = {
            "state_proj": config.action_dim,
            "action_time_mlp_in": 2 * expert.width,
            "action_time_mlp_out": expert.width,
        }
    table = {
        "vision.patch_embedding.weight": Source(
            f"{IMG}/embedding/kernel", (vision.patch, vision.patch, 3, vision.width), (3, 2, 0, 1)
        ),
        "vision.patch_embedding.bias": Source(f"{IMG}/embedding/bias", (vision.width,)),
        "vision.position_embedding.weight": Source(f"{IMG}/pos_embedding", (1, patches, vision.width)),
        **_stacked("vision.layers", vision.depth, _vision_layer(vision)),
        **_layer_norm("vision.post_layernorm", f"{IMG}/Transformer/encoder_norm", vision.width),
        **_linear("projector", f"{IMG}/head", vision.width, vlm.width),
        "embed_tokens.weight": Source(f"{LLM}/embedder/input_embedding", (config.vocab_size, vlm.width)),
        **_stacked("layers", config.depth, _stream("vlm", "", config, vlm, False)),
        **_stacked("layers", config.depth, _stream("expert", "_1", config, expert, adaptive)),
        **_rms_norm("vlm_norm", f"{LLM}/final_norm", vlm.width, False),
        **_rms_norm("expert_norm", f"{LLM}/final_norm_1", expert.width, adaptive),
        **_linear("action_in_proj", "action_in_proj", config.action_dim, expert.width),
        **_linear("action_out_proj", "action_out_proj", expert.width, config.action_dim),
    }
    for name, fan_in in linears.items():
        table |= _linear(name, name, fan_in, expert.width)
    return table


def _vision_layer(config: VisionConfig) -> Table:
    """Return the table of one layer of SigLIP, not stacked."""
    block = f"{IMG}/Transformer/encoderblock"
    attention = f"{block}/MultiHeadDotProductAttention_0"
    width, heads, head_dim = config.width, config.heads, config.width // config.heads
    table = {
        **_layer_norm("layer_norm1", f"{block}/LayerNorm_0", width),
        **_layer_norm("layer_norm2", f"{block}/LayerNorm_1", width),
        **_linear("fc1", f"{block}/MlpBlock_0/Dense_0", width, config.mlp),
        **_linear("fc2", f"{block}/MlpBlock_0/Dense_1", config.mlp, width),
        "out_proj.weight": Source(f"{attention}/out/kernel", (heads, head_dim, width), (2, 0, 1)),
        "out_proj.bias": Source(f"{attention}/out/bias", (width,)),
    }
    for ours, theirs in (("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value")):
        table[f"{ours}.weight"] = Source(f"{attention}/{theirs}/kernel", (width, heads, head_dim), (1, 2, 0))
        table[f"{ours}.bias"] = Source(f"{attention}/{theirs}/bias", (heads, head_dim))
    return table


def _stream(ours: str, suffix: str, config: ModelConfig, stack: StackConfig, adaptive: bool) -> Table:
    """Return the table of one layer of an expert, not stacked."""
    width, heads, kv_heads, head_dim = stack.width, config.heads, config.kv_heads, config.head_dim
    attention, mlp = f"{LLM}/layers/attn", f"{LLM}/layers/mlp{suffix}"
    if heads == kv_heads:
        qkv = Source(f"{attention}/qkv_einsum{suffix}/w", (3, heads, width, head_dim), (0, 2, 1))
        q, k, v = (replace(qkv, index=(i,)) for i in range(3))
    else:
        q = Source(f"{attention}/q_einsum{suffix}/w", (heads, width, head_dim), (0, 2, 1))
        kv = Source(f"{attention}/kv_einsum{suffix}/w", (2, kv_heads, width, head_dim), (0, 2, 1))
        k, v = (replace(kv, index=(i,)) for i in range(2))
    gating = Source(f"{mlp}/gating_einsum", (2, width, stack.mlp), (1, 0))
    return {
        f"{ours}.q_proj.weight": q,
        f"{ours}.k_proj.weight": k,
        f"{ours}.v_proj.weight": v,
        f"{ours}.o_proj.weight": Source(f"{attention}/attn_vec_einsum{suffix}/w", (heads, head_dim, width), (2, 0, 1)),
        f"{ours}.gate_proj.weight": replace(gating, index=(0,)),
        f"{ours}.up_proj.weight": replace(gating, index=(1,)),
        f"{ours}.down_proj.weight": Source(f"{mlp}/linear", (stack.mlp, width), (1, 0)),
        **_rms_norm(f"{ours}.input_layernorm", f"{LLM}/layers/pre_attention_norm{suffix}", width, adaptive),
        **_rms_norm(f"{ours}.post_attention_layernorm", f"{LLM}/layers/pre_ffw_norm{suffix}", width, adaptive),
    }


def _linear(ours: str, theirs: str, fan_in: int, fan_out: int) -> Table:
    return {
        f"{ours}.weight": Source(f"{theirs}/kernel", (fan_in, fan_out), (1, 0)),
        f"{ours}.bias": Source(f"{theirs}/bias", (fan_out,)),
    }


def _layer_norm(ours: str, theirs: str, width: int) -> Table:
    return {
        f"{ours}.weight": Source(f"{theirs}/scale", (width,)),
        f"{ours}.bias": Source(f"{theirs}/bias", (width,)),
    }


def _rms_norm(ours: str, theirs: str, width: int, adaptive: bool) -> Table:
    if adaptive:
        return _linear(f"{ours}.dense", f"{theirs}/Dense_0", width, 3 * width)
    return {f"{ours}.weight": Source(f"{theirs}/scale", (width,))}


def _stacked(ours: str, depth: int, layer: Table) -> Table:
    return {
        f"{ours}.{i}.{name}": replace(source, shape=(depth, *source.shape), index=(i, *source.index))
        for i in range(depth)
        for name, source in layer.items()
    }


def _plain(keys: Iterable[str]) -> dict[str, str]:
    """Return names without the prefix and suffix that all have → names in the file."""
    keys = list(keys)
    prefix = "params/" if all(key.startswith("params/") for key in keys) else ""
    suffix = "/value" if all(key.endswith("/value") for key in keys) else ""
    return {key.removeprefix(prefix).removesuffix(suffix): key for key in keys}
