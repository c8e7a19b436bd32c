"""Counts the floating-point operations that a training step needs. Start from `needed_flops`."""

from __future__ import annotations

from pisft.config.model import ModelConfig


def needed_flops(config: ModelConfig, image_tokens: int, prompt_tokens: int, draws: int = 1) -> float:
    """Return the FLOPs of forward and backward for one sample with every parameter trained.

    Two operations a multiply-add, three passes (the output, and the gradients of input and weight). Counts matrix
    products only; nothing that is masked, and of the last layer's prefix only keys and values.
    """
    vision, heads, inner = config.vision, config.heads, config.heads * config.head_dim
    kv = 2 * config.kv_heads * config.head_dim
    prefix = image_tokens + prompt_tokens
    state = config.variant == "pi0"
    suffix = draws * (config.action_horizon + state)
    patches = (config.image_size // config.vision.patch) ** 2

    # pixels need no gradient
    patch = image_tokens * 3 * vision.patch**2 * vision.width * 2 / 3
    tower = vision.depth * image_tokens * (4 * vision.width**2 + 2 * vision.width * vision.mlp)
    tower += vision.depth * image_tokens * patches * 2 * vision.width
    project = image_tokens * vision.width * config.vlm.width

    def stack(width: int, mlp: int) -> int:
        return 2 * width * inner + width * kv + 3 * width * mlp

    joint = (config.depth - 1) * prefix * stack(config.vlm.width, config.vlm.mlp)
    joint += prefix * config.vlm.width * kv
    joint += config.depth * suffix * stack(config.expert.width, config.expert.mlp)
    attention = (config.depth - 1) * prefix * prefix + config.depth * suffix * (prefix + suffix / draws)
    joint += 2 * heads * config.head_dim * attention

    width, actions = config.expert.width, draws * config.action_horizon
    heads_of_actions = 2 * actions * config.action_dim * width
    if state:
        heads_of_actions += config.action_dim * width + actions * (2 * width * width + width * width)
    else:
        modulated = (2 * config.depth + 1) * 3 * width * width
        heads_of_actions += draws * (2 * width * width + modulated)
    return 3 * 2 * (patch + tower + project + joint + heads_of_actions)
