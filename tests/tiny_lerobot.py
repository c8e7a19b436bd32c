"""lerobot's π₀ and π₀.₅ at tiny width: their widths are hard-coded, so what builds them is patched."""

import contextlib
import importlib
from unittest import mock

import torch
from pisft.model import ModelConfig

VOCAB = 257152  # hard-coded there too


def config(variant: str) -> ModelConfig:
    return ModelConfig(
        variant=variant,
        image_size=56,
        vision={"width": 48, "depth": 2, "mlp": 96, "heads": 4, "patch": 14},
        depth=3,
        heads=8,
        kv_heads=1,
        head_dim=16,
        vlm={"width": 64, "mlp": 128},
        expert={"width": 32, "mlp": 96},
        vocab_size=VOCAB,
        action_horizon=6,
        tokenizer={"kind": "bytes"},
    )


def build(ours: ModelConfig, **options) -> torch.nn.Module:
    """lerobot's policy with the dimensions of `ours`, fp32, each parameter random; `options` go into its config."""
    variant = ours.variant
    configuration = importlib.import_module(f"lerobot.policies.{variant}.configuration_{variant}")
    config_class = getattr(configuration, {"pi0": "PI0Config", "pi05": "PI05Config"}[variant])
    defaults = {
        "dtype": "float32",
        "device": "cpu",
        "chunk_size": ours.action_horizon,
        "n_action_steps": ours.action_horizon,
        "image_resolution": (ours.image_size, ours.image_size),
    }
    torch.manual_seed(1)
    with dimensions(ours):
        policy = policy_class(variant)(config_class(**defaults | options))
    shake(policy)
    return policy.eval()


@torch.no_grad()
def shake(model: torch.nn.Module) -> None:
    """Norms, gates and biases start at zero or one, where a mistake would not show: make them random."""
    for parameter in model.parameters():
        if parameter.ndim == 1 or parameter.abs().max() == 0:
            parameter.add_(torch.randn_like(parameter) * 0.1)


def policy_class(variant: str) -> type:
    """PI0Policy or PI05Policy."""
    module = importlib.import_module(f"lerobot.policies.{variant}.modeling_{variant}")
    return getattr(module, {"pi0": "PI0Policy", "pi05": "PI05Policy"}[variant])


@contextlib.contextmanager
def dimensions(ours: ModelConfig):
    """Inside, lerobot builds models of these dimensions."""
    module = importlib.import_module(f"lerobot.policies.{ours.variant}.modeling_{ours.variant}")

    def gemma(kind: str):
        stack = ours.vlm if kind == "gemma_2b" else ours.expert
        return module.GemmaConfig(stack.width, ours.depth, stack.mlp, ours.heads, ours.kv_heads, ours.head_dim)

    make, make_expert = module.PaliGemmaForConditionalGenerationWithPiGemma, module.PiGemmaForCausalLM

    def tiny_paligemma(config):
        vision = config.vision_config
        vision.hidden_size, vision.intermediate_size = ours.vision.width, ours.vision.mlp
        vision.num_hidden_layers, vision.num_attention_heads = ours.vision.depth, ours.vision.heads
        vision.patch_size, vision.projection_dim = ours.vision.patch, ours.vlm.width
        vision.image_size = ours.image_size
        config.text_config.vocab_size = ours.vocab_size
        return make(config=config)

    def tiny_expert(config):
        config.vocab_size = ours.vocab_size
        return make_expert(config=config)

    with (
        mock.patch.object(module, "get_gemma_config", gemma),
        mock.patch.object(module, make.__name__, tiny_paligemma),
        mock.patch.object(module, make_expert.__name__, tiny_expert),
    ):
        yield
