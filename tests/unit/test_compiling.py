"""What is compiled: everything that a run computes in layers, whatever the shapes, with the same results."""

import os
from functools import partial

import pytest
import torch
from pisft.config.finetune import Lora
from pisft.model import Observation, Pi0, compiling, lora
from pisft.model.compiling import compile_blocks
from tiny_model import model_config

H, A = 4, 32
SHAPES = [(2, 8), (3, 8), (3, 16), (4, 24), (1, 40), (5, 16)]  # samples, prompt tokens


def draw(samples, tokens, draws=2):
    g = torch.Generator().manual_seed(samples * 100 + tokens)
    obs = Observation(
        images={"base_0_rgb": torch.rand(samples, 3, 32, 32, generator=g) * 2 - 1},
        image_masks={"base_0_rgb": torch.ones(samples, dtype=torch.bool)},
        state=torch.randn(samples, A, generator=g),
        tokens=torch.randint(0, 64, (samples, tokens), generator=g),
        token_mask=torch.ones(samples, tokens, dtype=torch.bool),
    )
    noise = torch.randn(samples, draws, H, A, generator=g)
    return obs, torch.randn(samples, H, A, generator=g), noise, torch.rand(samples, draws, generator=g)


def results(model, shape):
    """What training, validation and sampling give."""
    obs, actions, noise, time = draw(*shape)
    model.zero_grad()
    loss = model.flow_loss(obs, actions, noise, time)
    loss.mean().backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    with torch.no_grad():
        unseen = model.flow_loss(obs, actions, noise, time)
    with torch.inference_mode():
        return [loss.detach(), unseen, model.sample_actions(obs, noise[:, 0], 2), *gradients]


@pytest.mark.parametrize(("variant", "adapters"), [("pi0", False), ("pi05", False), ("pi05", True)])
def test_every_use_and_shape_of_a_run_is_compiled(monkeypatch, variant, adapters):
    torch.manual_seed(0)
    plain, compiled = (Pi0(model_config(variant=variant, vision={"depth": 2}, depth=3)) for _ in range(2))
    for model in (plain, compiled) if adapters else ():
        lora.wrap(model, Lora(method="lora", targets="rlinf"))
    compiled.load_state_dict(plain.state_dict())
    torch._dynamo.reset()
    # it traces as any backend does, and compiles nothing
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager", fullgraph=True))
    limit = torch._dynamo.config.recompile_limit
    with torch._dynamo.config.patch(recompile_limit=limit, fail_on_recompile_limit_hit=True):  # puts both back
        compile_blocks(compiled)
        for shape in SHAPES:
            for expected, found in zip(results(plain, shape), results(compiled, shape), strict=True):
                torch.testing.assert_close(found, expected)
    torch._dynamo.reset()


def test_compiling_is_what_was_chosen_and_else_what_a_gpu_can(monkeypatch, capsys):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [compiling.wanted(choice, cpu) for choice in (None, False, True)] == [False, False, True]
    monkeypatch.setattr(compiling, "_lacking", lambda: "")
    assert [compiling.wanted(choice, gpu) for choice in (None, False, True)] == [True, False, True]
    monkeypatch.setattr(compiling, "_lacking", lambda: "found no C compiler")
    assert not compiling.wanted(None, gpu, lead=False)
    assert capsys.readouterr().err == ""
    assert not compiling.wanted(None, gpu)
    assert "found no C compiler" in capsys.readouterr().err


def test_what_is_compiled_is_kept_in_the_project_unless_another_place_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "put back by this")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    compiling.keep_in(tmp_path)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / compiling.KEPT)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "elsewhere")
    compiling.keep_in(tmp_path)
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "elsewhere"
