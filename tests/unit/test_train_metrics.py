"""What a run tells never stops it, and its table belongs to the state that it goes on from."""

import sys

from pisft.train.metrics import COLUMNS, Metrics
from tiny_training import KEY, make_experiment


def metrics(folder, dataset, step=0, text=None, **logging):
    config = make_experiment(folder, dataset)
    config = config.model_copy(update={"logging": config.logging.model_copy(update=logging)})
    return Metrics(config, folder / "results/tiny", 4, KEY, step, text)


def test_a_resumed_table_is_that_of_the_state(tmp_path, image_dataset):
    first = metrics(tmp_path, image_dataset)
    first.log(2, {"loss": 1.5})
    saved = first.text
    first.log(4, {"loss": 1.25})
    second = metrics(tmp_path, image_dataset, 2, saved)
    second.log(4, {"loss": 1.125, "val_loss": 1.0})
    lines = (tmp_path / "results/tiny/metrics.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines] == [["step", "loss"], ["2", "1.5"], ["4", "1.125"]]
    assert {line.count(",") for line in lines} == {len(COLUMNS) + 4 - 1}


def test_a_tracker_that_fails_is_left_out(tmp_path, image_dataset, monkeypatch, capsys):
    class Run:
        def log(self, *_, **__):
            raise ConnectionError("no network")

        def finish(self):
            raise AssertionError("is left out")

    class Wandb:
        init = staticmethod(lambda **_: Run())

    monkeypatch.setitem(sys.modules, "wandb", Wandb)
    m = metrics(tmp_path, image_dataset, wandb="online")
    for step in (2, 4):
        m.log(step, {"loss": 1.0})
    m.close()
    assert capsys.readouterr().err.count("no network") == 1
    assert len(m.text.splitlines()) == 3


def test_a_tracker_that_cannot_start_is_left_out(tmp_path, image_dataset, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    m = metrics(tmp_path, image_dataset, wandb="offline")
    m.log(2, {"loss": 1.0})
    m.close()
    assert "wandb is left out" in capsys.readouterr().err


def test_an_offline_tracker_writes_into_the_results_folder(tmp_path, image_dataset):
    m = metrics(tmp_path, image_dataset, wandb="offline")
    m.log(2, {"loss": 1.0})
    m.close()
    assert list((tmp_path / "results/tiny/wandb").glob("offline-run-*"))


def test_tensorboard_tells_each_step_once_after_a_restart(tmp_path, image_dataset):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = metrics(tmp_path, image_dataset, tensorboard=True)
    for step in (2, 4, 6):
        first.log(step, {"loss": float(step)})
    first.close()
    second = metrics(tmp_path, image_dataset, 4, "", tensorboard=True)
    second.log(6, {"loss": 60.0})
    second.close()
    (folder,) = (tmp_path / "results/tiny/tensorboard").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(2, 2.0), (4, 4.0), (6, 60.0)]
