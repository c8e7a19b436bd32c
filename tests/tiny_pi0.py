"""A small π₀ or π₀.₅ and a batch for it, for tests of the model alone: start from `tiny` and `draw`."""

import torch
from pisft.model import Observation, Pi0
from tiny_model import model_config

B, K, H, A = 3, 4, 5, 32


def tiny(variant: str) -> Pi0:
    """A small model, the same on every call, none of whose weights is zero."""
    torch.manual_seed(0)
    model = Pi0(
        model_config(variant=variant, vision={"depth": 2}, depth=3, heads=4, expert={"width": 8}, action_horizon=H)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # norms and gates start at zero, where mistakes hide
    return model


def draw(seed: int) -> tuple[Observation, torch.Tensor, torch.Tensor, torch.Tensor]:
    """B samples: an observation, actions (B, H, A), K draws of noise (B, K, H, A) and of time (B, K)."""
    g = torch.Generator().manual_seed(seed)
    obs = Observation(
        images={s: torch.rand(B, 3, 32, 32, generator=g) * 2 - 1 for s in ("base_0_rgb", "right_wrist_0_rgb")},
        image_masks={
            "base_0_rgb": torch.ones(B, dtype=torch.bool),
            "right_wrist_0_rgb": torch.zeros(B, dtype=torch.bool),
        },
        state=torch.randn(B, A, generator=g),
        tokens=torch.randint(0, 64, (B, 12), generator=g),
        token_mask=torch.arange(12) < torch.tensor([[5], [7], [1]]),
    )
    actions = torch.randn(B, H, A, generator=g)
    noise = torch.randn(B, K, H, A, generator=g)
    return obs, actions, noise, torch.rand(B, K, generator=g)
