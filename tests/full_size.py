"""The published dimensions."""

from pisft.model import ModelConfig


def full_size(variant: str) -> ModelConfig:
    """π₀ or π₀.₅ as openpi publishes it: gemma_2b, gemma_300m and So400m/14."""
    return ModelConfig(
        variant=variant,
        vision={"width": 1152, "depth": 27, "mlp": 4304, "heads": 16, "patch": 14},
        depth=18,
        heads=8,
        head_dim=256,
        vlm={"width": 2048, "mlp": 16384},
        expert={"width": 1024, "mlp": 4096},
        vocab_size=257152,
        tokenizer={"kind": "paligemma"},
    )
