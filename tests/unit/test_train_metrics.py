"""What a run tells never stops it, and its tables belong to the state that it resumes from."""

import sys

import pytest
from pisft.train.monitoring.metrics import COLUMNS, LEARNT, TIMING, Metrics
from tiny_training import KEY, make_experiment


def metrics(folder, dataset, step=0, tables=None, **logging):
    config = make_experiment(folder, dataset)
    config = config.model_copy(update={"logging": config.logging.model_copy(update=logging)})
    run_dir = folder / "results/tiny"
    return Metrics(config, run_dir, run_dir / "train_state", 4, KEY, step, tables)


def test_resumed_tables_are_those_of_the_state(tmp_path, image_dataset):
    first = metrics(tmp_path, image_dataset)
    first.log(2, {"loss": 1.5, "samples_per_s": 8.0})
    saved = first.tables
    first.log(4, {"loss": 1.25, "samples_per_s": 9.0})
    second = metrics(tmp_path, image_dataset, 2, saved)
    second.log(4, {"loss": 1.125, "samples_per_s": 7.5, "val_loss": 1.0})
    for name, first_two in {
        LEARNT: [["step", "loss"], ["2", "1.5"], ["4", "1.125"]],
        TIMING: [["step", "samples_per_s"], ["2", "8"], ["4", "7.5"]],
    }.items():
        lines = (tmp_path / "results/tiny/train_state" / name).read_text().splitlines()
        assert [line.split(",")[:2] for line in lines] == first_two
        assert {line.count(",") + 1 for line in lines} == {len(COLUMNS[name]) + (4 if name == LEARNT else 0)}


def test_how_fast_a_run_was_is_in_no_table_that_is_versioned(tmp_path, image_dataset):
    tables = []
    for speed in (8.0, 9.0):
        m = metrics(tmp_path, image_dataset)
        m.log(2, {"loss": 1.5, "samples_per_s": speed, "data_wait_s": speed, "memory_gib": speed, "mfu": speed})
        tables.append(m.tables)
    assert tables[0][LEARNT] == tables[1][LEARNT] and tables[0][TIMING] != tables[1][TIMING]
    with pytest.raises(ValueError, match="speed"):
        m.log(4, {"speed": 1.0})


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
    assert len(m.tables[LEARNT].splitlines()) == 3


def test_a_tracker_that_cannot_start_is_left_out(tmp_path, image_dataset, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    m = metrics(tmp_path, image_dataset, wandb="offline")
    m.log(2, {"loss": 1.0})
    m.close()
    assert "wandb is not logged" in capsys.readouterr().err


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
    second = metrics(tmp_path, image_dataset, 4, first.tables, tensorboard=True)
    second.log(6, {"loss": 60.0})
    second.close()
    (folder,) = (tmp_path / "results/tiny/tensorboard").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(2, 2.0), (4, 4.0), (6, 60.0)]
