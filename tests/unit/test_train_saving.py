"""States saved while training continues are those of their step, and nothing that goes wrong meanwhile is lost."""

import threading

import pytest
import torch
from pisft.train.checkpoints import state as states
from pisft.train.checkpoints.saving import Saver
from pisft.train.distribution.world import World
from pisft.train.errors import TrainingError


class Gate:
    """A check that waits: what is being written has no name yet."""

    def __init__(self):
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self):
        self.reached.set()
        assert self.open.wait(30)


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open.set()


def loaded(path, size=1000):
    tensors = {"w": torch.zeros(size)}
    states.load(path, tensors)
    return tensors["w"]


def test_a_saved_state_is_that_of_its_step_though_training_went_on(tmp_path, gate):
    saver, weights = Saver(tmp_path, World()), torch.full((1000,), 1.0)
    saver.save(5, {"w": weights}, {}, gate)
    assert gate.reached.wait(30)
    weights.fill_(2.0)
    assert states.latest(tmp_path) is None
    gate.open.set()
    saver.wait()
    assert torch.equal(loaded(states.latest(tmp_path)), torch.full((1000,), 1.0))


def test_the_copy_is_made_before_save_returns(tmp_path):
    saver, weights = Saver(tmp_path, World()), torch.full((1000,), 1.0)
    saver.stage({"w": weights})
    weights.fill_(2.0)
    assert saver.staged["w"].eq(1.0).all()
    before = saver.staged["w"].data_ptr()
    saver.stage({"w": weights, "grown": torch.zeros(3)})
    assert saver.staged["w"].data_ptr() == before
    saver.stage({"w": weights, "grown": torch.zeros(4)})
    assert saver.staged["grown"].shape == (4,)


def test_the_next_save_waits_for_the_one_before(tmp_path, gate):
    saver = Saver(tmp_path, World())
    saver.save(1, {"w": torch.full((1000,), 1.0)}, {}, gate)
    assert gate.reached.wait(30)
    second = threading.Thread(target=saver.save, args=(2, {"w": torch.full((1000,), 2.0)}, {}, lambda: None))
    second.start()
    second.join(0.2)
    assert second.is_alive()
    gate.open.set()
    second.join(30)
    saver.wait()
    assert [loaded(tmp_path / f"step_{n}")[0].item() for n in (1, 2)] == [1.0, 2.0]


def lost():
    raise TrainingError("another trainer took over")


@pytest.mark.parametrize("how", ["check", "wait", "save"])
def test_a_failure_in_the_background_is_raised_by_the_next_call(tmp_path, how):
    saver = Saver(tmp_path, World())
    saver.save(1, {"w": torch.zeros(1000)}, {}, lambda: None)
    saver.wait()
    saver.save(2, {"w": torch.zeros(1000)}, {}, lost)
    saver.thread.join()
    calls = {"check": saver.check, "wait": saver.wait, "save": lambda: saver.save(3, {}, {}, lambda: None)}
    with pytest.raises(TrainingError, match="another trainer took over"):
        calls[how]()
    assert states.latest(tmp_path).name == "step_1"
    saver.wait()


def test_closing_lets_a_single_process_finish(tmp_path, gate):
    saver = Saver(tmp_path, World())
    saver.save(1, {"w": torch.zeros(1000)}, {}, gate)
    threading.Timer(0.2, gate.open.set).start()
    saver.close()
    assert states.latest(tmp_path).name == "step_1"
