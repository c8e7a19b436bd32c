"""The model computes what openpi's JAX model computes (data/README.md), in fp32 to 2e-5."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pisft.model import ModelConfig, Observation, Pi0, load_weights

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def oracle():
    return {key: torch.from_numpy(value) for key, value in np.load(DATA / "oracle_pi05.npz").items()}


@pytest.fixture(scope="module")
def model():
    model = Pi0(ModelConfig.from_yaml(DATA / "oracle_pi05.yaml")).eval()
    load_weights(model, DATA / "oracle_pi05.safetensors")
    return model


@pytest.fixture(scope="module")
def observation(oracle):
    slots = ("base_0_rgb", "left_wrist_0_rgb")
    return Observation(
        images={slot: oracle[f"image/{slot}"].permute(0, 3, 1, 2) for slot in slots},
        image_masks={slot: oracle[f"image_mask/{slot}"] for slot in slots},
        state=oracle["state"],
        tokens=oracle["tokenized_prompt"].long(),
        token_mask=oracle["tokenized_prompt_mask"],
    )


@torch.no_grad()
def test_loss(model, observation, oracle):
    loss = model.flow_loss(observation, oracle["actions"], oracle["noise"], oracle["time"])
    torch.testing.assert_close(loss.mean(-1), oracle["loss"], atol=2e-5, rtol=0)


@torch.no_grad()
def test_velocity(model, observation, oracle):
    t = oracle["time"][:, None, None]
    x_t = t * oracle["noise"] + (1 - t) * oracle["actions"]
    velocity = model.velocity(observation, x_t[:, None], oracle["time"][:, None])[:, 0]
    torch.testing.assert_close(velocity, oracle["v_t"], atol=2e-5, rtol=0)


@torch.no_grad()
def test_samples(model, observation, oracle):
    samples = model.sample_actions(observation, oracle["noise"], num_steps=10)
    torch.testing.assert_close(samples, oracle["sample"], atol=2e-5, rtol=0)
