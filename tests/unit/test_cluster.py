"""What is decided about jobs, where no cluster is needed to see it."""

import csv
import os

import pytest
import torch
from pisft import slurm
from pisft.cluster.attempt import Attempt
from pisft.cluster.launch import short_attempt
from pisft.cluster.settle import given_up, saved_step
from pisft.config.site import Site
from pisft.train.distribution.world import started
from pisft.train.errors import TrainingError, lost_peer
from tiny_training import make_experiment
from torch.distributed.checkpoint.api import CheckpointException


@pytest.fixture
def alone(monkeypatch):
    """No launcher's variables."""
    for name in list(os.environ):
        if name.startswith(("SLURM_", "MASTER_")) or name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
            monkeypatch.delenv(name)
    return monkeypatch


def test_torchruns_processes_are_joined(alone):
    alone.setenv("RANK", "1")
    alone.setenv("LOCAL_RANK", "0")
    alone.setenv("WORLD_SIZE", "2")
    assert started() == {"RANK": "1", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}


def test_sruns_processes_are_joined_on_the_first_node(alone):
    step = {"JOB_ID": 12, "STEP_ID": 0, "NTASKS": 4, "PROCID": 3, "LOCALID": 1, "JOB_NODELIST": "gpu[07-08]"}
    step["STEP_TASKS_PER_NODE"] = "2(x2)"
    for name, value in step.items():
        alone.setenv(f"SLURM_{name}", str(value))
    found = started()
    assert (found["RANK"], found["LOCAL_RANK"], found["WORLD_SIZE"], found["MASTER_ADDR"]) == ("3", "1", "4", "gpu07")
    assert found["LOCAL_WORLD_SIZE"] == "2"
    alone.setenv("SLURM_RESTART_COUNT", "1")
    assert started()["MASTER_PORT"] != found["MASTER_PORT"]


def test_a_batch_script_without_srun_is_one_process(alone):
    alone.setenv("SLURM_JOB_ID", "12")
    alone.setenv("SLURM_NTASKS", "4")
    alone.setenv("SLURM_PROCID", "0")
    assert started() is None


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError("[third_party/gloo/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1"), True),
        (torch.distributed.DistBackendError("NCCL communicator was aborted"), True),
        (CheckpointException("", {1: (RuntimeError("gloo: Timed out waiting 5ms"), None)}), True),
        (RuntimeError("shape '[2]' is invalid"), False),
        (CheckpointException("", {1: (OSError("no space"), None)}), False),
        (TrainingError("not finite"), False),
    ],
)
def test_a_lost_process_is_told_from_a_failing_one(error, lost):
    assert lost_peer(error) is lost
    chained = TrainingError("cannot be written")
    chained.__cause__ = error
    assert lost_peer(chained) is lost


def test_the_first_failure_is_the_one_that_counts(tmp_path):
    attempt = Attempt(tmp_path / "7/0")
    assert attempt.failure() is None
    attempt.fail("first", rank=3, node="b")
    attempt.fail("second", rank=0, node="a")
    assert attempt.failure() == {"message": "first", "rank": 3, "node": "b"}
    assert [path.name for path in attempt.folder.iterdir()] == ["failure.json"]


def test_a_job_is_given_up_after_as_many_attempts_as_the_site_says(tmp_path):
    run_dir = tmp_path / "results/x"
    (tmp_path / "config").mkdir()
    (tmp_path / "config/site.yaml").write_text("train: {turns: 3}")
    for n, step in enumerate((10, 20, 20)):
        Attempt(run_dir / f"slurm/7/{n}").settle(step)
        assert given_up(run_dir, "7") is None
    Attempt(run_dir / "slurm/7/3").settle(20)
    assert "3 attempts of job 7 have ended without getting further than step 20" in given_up(run_dir, "7")
    Attempt(run_dir / "slurm/7/10").settle(30)
    assert given_up(run_dir, "7") is None


def test_the_last_saved_step(tmp_path):
    assert saved_step(tmp_path, "f" * 64) == -1
    for name in ("step_9", "step_10", ".step_11.tmp"):
        (tmp_path / "train_state" / ("f" * 16) / name).mkdir(parents=True)
    assert saved_step(tmp_path, "f" * 64) == 10


def test_an_attempt_in_which_nothing_is_saved_is_warned_of(tmp_path, image_dataset):
    config = make_experiment(tmp_path, image_dataset, save_every=100)
    run_dir = tmp_path / "results/tiny"
    assert short_attempt(run_dir, config, Site()) is None

    def measured(samples_per_s):
        with (run_dir / "metrics.timing.csv").open("w") as file:
            writer = csv.DictWriter(file, ["step", "samples_per_s"])
            writer.writeheader()
            writer.writerow({"step": 1, "samples_per_s": samples_per_s})
        return short_attempt(run_dir, config, Site.model_validate({"train": {"minutes": 1}}))

    batch = config.train.global_batch_size
    assert measured(batch * 100 / 59) is None
    assert "found 100, but an attempt of 1 minutes has about 97 steps" in measured(batch * 97.5 / 60)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ('sbatch: error: Munge encode failed: Failed to access "/run/munge"', "systemctl start munge"),
        ("slurm_load_jobs error: Unable to contact slurm controller (connect failure)", "scontrol ping"),
        ("Invalid account or account/partition combination specified", "sacctmgr show associations"),
        ("Requested node configuration is not available", "sinfo --Node"),
        ("something new", "cluster: of the experiment"),
    ],
)
def test_slurms_words_come_with_what_to_do(words, remedy):
    said = str(slurm.refused("sbatch", words))
    assert words in said and remedy in said
