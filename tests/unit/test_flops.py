"""The FLOPs that a step needs are those that PyTorch counts, but for what is cheaper than a matrix product."""

import pytest
import torch
from pisft.architecture.flops import needed_flops
from pisft.model import Observation, Pi0
from tiny_model import model_config
from torch.utils.flop_counter import FlopCounterMode


@pytest.mark.parametrize("variant", ["pi0", "pi05"])
@pytest.mark.parametrize(("cameras", "draws"), [(1, 1), (2, 1), (1, 4)])
def test_needed_flops_are_those_that_are_counted(variant, cameras, draws):
    config = model_config(
        variant=variant,
        image_size=64,
        vision={"width": 48, "depth": 3, "mlp": 96, "heads": 4},
        depth=4,
        heads=4,
        head_dim=16,
        vlm={"width": 64, "mlp": 256},
        expert={"width": 32, "mlp": 64},
        action_horizon=10,
    )
    B, L, H = 2, 8, 10
    with torch.device("meta"):
        model = Pi0(config)
        slots = ("base_0_rgb", "left_wrist_0_rgb")[:cameras]
        seen = Observation(
            {slot: torch.empty(B, 3, 64, 64) for slot in slots},
            {slot: torch.ones(B, dtype=torch.bool) for slot in slots},
            torch.empty(B, 32),
            torch.zeros(B, L, dtype=torch.long),
            torch.ones(B, L, dtype=torch.bool),
        )
        flow = torch.empty(B, H, 32), torch.empty(B, draws, H, 32), torch.empty(B, draws)
    # on the meta device there is nothing to wait for: a step that reads a value on the host would raise here
    with FlopCounterMode(display=False) as counter:
        model.flow_loss(seen, *flow).mean().backward()
    needed = B * needed_flops(config, cameras * 16, L, draws)
    counted = counter.get_total_flops()
    # what one draw would attend to of another is computed and masked, and not needed
    assert (0.97 if draws == 1 else 0.9) * counted < needed < 1.01 * counted
