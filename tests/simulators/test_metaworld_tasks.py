"""All fifty tasks of MetaWorld run, are seen, and are solved by their experts."""

import numpy as np
import pytest
from pisft.config.files import load_simulator
from pisft.simulators.base import open_simulator
from typed_project import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.long]

# Its expert never succeeds in MetaWorld's own environment either, with MetaWorld 3.0.0 and MuJoCo 3.5.
UNSOLVED = ["dial-turn"]


def test_the_experts_of_mt50_succeed_within_the_cap():
    config = load_simulator("metaworld_mt50", ROOT, "a test", "simulator")
    config = config.model_copy(update={"render": config.render.model_copy(update={"size": 64, "shadowsize": 0})})
    assert len(config.suites["mt50"]) == 50
    parts = [config.suites[name] for name in ("easy", "medium", "hard", "very_hard")]
    assert sorted(task for part in parts for task in part) == sorted(config.suites["mt50"])
    simulator = open_simulator(config)
    failed = []
    for task in config.suites["mt50"]:
        for seed in range(3):
            simulator.reset(task, seed)
            if seed == 0:
                assert np.ptp(simulator.observation()["observation.image"]) > 50, task
            while not simulator.done:
                simulator.step(simulator.expert_action())
            if simulator.success:
                break
        else:
            failed.append(task)
    assert failed == UNSOLVED
