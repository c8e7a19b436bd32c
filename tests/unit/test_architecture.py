"""What is told of a model without building one is what it is when it is built."""

import pytest
import torch
from pisft.architecture.memory import estimate
from pisft.architecture.parameters import parameters, without_gradient
from pisft.config import resolve
from pisft.config.experiment import Experiment
from pisft.config.files import load_model
from pisft.model import Pi0, lora
from pisft.train.distribution.parallel import restrict
from pydantic import TypeAdapter
from typed_project import ROOT

MODELS = sorted(path.stem for path in (ROOT / "config/models").glob("*.yaml"))
CHOICE = TypeAdapter(Experiment.model_fields["finetune"].rebuild_annotation())
FINETUNE = [
    {"method": "full"},
    {"method": "full", "freeze": ["vision", "vlm"]},
    *({"method": "lora", "targets": preset} for preset in ("openpi", "rlinf", "lerobot")),
    {"method": "lora", "targets": "rlinf", "rank": 8, "train": ["action_out_proj"]},
]


@pytest.mark.parametrize("name", MODELS)
def test_the_parameters_are_those_of_the_model_in_its_order(name):
    config = load_model(name, ROOT)
    with torch.device("meta"):
        model = Pi0(config)
    assert list(parameters(config).items()) == [(n, tuple(p.shape)) for n, p in model.named_parameters()]
    assert without_gradient(config) == {n for n, p in model.named_parameters() if not p.requires_grad}


@pytest.mark.parametrize(
    ("experiment", "finetune"),
    [
        pytest.param(name, finetune, marks=[] if number % 3 == place else [pytest.mark.slow, pytest.mark.long])
        for place, name in enumerate(["pi0_libero", "pi05_libero", "quickstart_blind"])
        for number, finetune in enumerate(FINETUNE)
    ],
    ids=str,
)
def test_what_is_trained_and_held_is_told_before_it_is_built(experiment, finetune):
    config = resolve(experiment, ROOT)
    config = config.model_copy(update={"finetune": CHOICE.validate_python(finetune)})
    with torch.device("meta"):
        model = Pi0(config.model)
    restrict(model, config)
    every = list(model.named_parameters())
    found = estimate(config, 1)
    assert found.trainable == sum(p.numel() for _, p in every if p.requires_grad)
    assert found.weights == sum(p.numel() * p.element_size() for _, p in every)
    assert found.parameters == sum(p.numel() for name, p in every if not lora.is_adapter(name))
