"""Every parameter of a model, by our name, with its shape. Start from `parameters`."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from pisft.config.model import ModelConfig, StackConfig, VisionConfig

Shape = tuple[int, ...]


def parameters(config: ModelConfig) -> dict[str, Shape]:
    """Return the shapes of the parameters of `Pi0(config)`, in their order."""
    width = config.expert.width
    found = dict(_vision(config.vision, config.image_size))
    found |= _linear("projector", config.vision.width, config.vlm.width)
    found["embed_tokens.weight"] = (config.vocab_size, config.vlm.width)
    for layer in range(config.depth):
        found |= _stream(f"layers.{layer}.vlm", config, config.vlm, adaptive=False)
        found |= _stream(f"layers.{layer}.expert", config, config.expert, adaptive=config.variant == "pi05")
    found["vlm_norm.weight"] = (config.vlm.width,)
    found |= _norm("expert_norm", width, adaptive=config.variant == "pi05")
    found |= _linear("action_in_proj", config.action_dim, width) | _linear("action_out_proj", width, config.action_dim)
    if config.variant == "pi0":
        found |= _linear("state_proj", config.action_dim, width)
        found |= _linear("action_time_mlp_in", 2 * width, width) | _linear("action_time_mlp_out", width, width)
    else:
        found |= _linear("time_mlp_in", width, width) | _linear("time_mlp_out", width, width)
    return found


def without_gradient(config: ModelConfig) -> set[str]:
    """Return the names of the parameters whose output nothing reads: the prefix ends with the last layer's keys and
    values."""
    modules = ("q_proj", "o_proj", "post_attention_layernorm", "gate_proj", "up_proj", "down_proj")
    return {"vlm_norm.weight", *(f"layers.{config.depth - 1}.vlm.{module}.weight" for module in modules)}


def is_linear(name: str) -> bool:
    """Return whether `name` is the weight of a linear module, which may get an adapter."""
    module = name.removesuffix(".weight").rpartition(".")[2]
    return name.endswith(".weight") and (
        module.endswith(("_proj", "_in", "_out", "projector", "dense")) or module in ("fc1", "fc2")
    )


def size(shape: Shape) -> int:
    """Return how many numbers a parameter of this shape has."""
    return prod(shape)


def _vision(config: VisionConfig, image_size: int) -> Iterator[tuple[str, Shape]]:
    width = config.width
    yield "vision.patch_embedding.weight", (width, 3, config.patch, config.patch)
    yield "vision.patch_embedding.bias", (width,)
    yield "vision.position_embedding.weight", ((image_size // config.patch) ** 2, width)
    for layer in range(config.depth):
        name = f"vision.layers.{layer}"
        yield from _layer_norm(f"{name}.layer_norm1", width)
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from _linear(f"{name}.{projection}", width, width).items()
        yield from _layer_norm(f"{name}.layer_norm2", width)
        yield from _linear(f"{name}.fc1", width, config.mlp).items()
        yield from _linear(f"{name}.fc2", config.mlp, width).items()
    yield from _layer_norm("vision.post_layernorm", width)


def _stream(name: str, config: ModelConfig, stack: StackConfig, adaptive: bool) -> dict[str, Shape]:
    inner, kv, width = config.heads * config.head_dim, config.kv_heads * config.head_dim, stack.width
    return {
        **_norm(f"{name}.input_layernorm", width, adaptive),
        f"{name}.q_proj.weight": (inner, width),
        f"{name}.k_proj.weight": (kv, width),
        f"{name}.v_proj.weight": (kv, width),
        f"{name}.o_proj.weight": (width, inner),
        **_norm(f"{name}.post_attention_layernorm", width, adaptive),
        f"{name}.gate_proj.weight": (stack.mlp, width),
        f"{name}.up_proj.weight": (stack.mlp, width),
        f"{name}.down_proj.weight": (width, stack.mlp),
    }


def _norm(name: str, width: int, adaptive: bool) -> dict[str, Shape]:
    return _linear(f"{name}.dense", width, 3 * width) if adaptive else {f"{name}.weight": (width,)}


def _layer_norm(name: str, width: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _linear(name: str, inputs: int, outputs: int) -> dict[str, Shape]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
