"""What SLURM or the site cannot do is told in SLURM's words, with what to do, before or right after submission."""

import subprocess
from pathlib import Path

import pytest
from slurm_run import CLUSTER

TOOLS = {"sacct", "sacctmgr", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun"}


@pytest.fixture
def path_without_slurm(tmp_path, monkeypatch):
    """A PATH with all programs but SLURM's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in Path("/usr/bin").iterdir():
        if program.name not in TOOLS:
            (folder / program.name).symlink_to(program)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize(
    ("site", "words", "remedy"),
    [
        ({"partition": "none"}, "invalid partition specified: none", "sinfo --summarize"),
        ({"gpu": "gpu:gold"}, "node configuration is not available", "sinfo --Node"),
        ({"train": {"cpus": 1000}}, "cannot give what is asked for", "sinfo --Node"),
        *(
            pytest.param(*words, marks=pytest.mark.long)
            for words in (
                ({"account": "nobody"}, "Invalid account", "sacctmgr show associations"),
                ({"qos": "best"}, "Invalid qos", "sacctmgr show associations"),
                ({"constraint": "gold"}, "Invalid feature", "config/site.yaml: constraint"),
                ({"flags": ["--reservation=none"]}, "reservation is invalid", "config/site.yaml: flags"),
                ({"train": {"memory_gb": 9000}}, "Memory", "sinfo --Node"),
            )
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_refused_job(run, site, words, remedy):
    run.site(**site)
    said = run.ended(run.start(), code=1)
    assert "SLURM says:" in said and words in said and remedy in said
    assert "Traceback" not in said


@pytest.mark.long
def test_more_gpus_than_a_node_has(run):
    run.project.edit("config/experiments/tiny.yaml", "num_nodes: 2", "gpus: 4")
    run.project.python("scripts/resolve.py", "tiny")
    said = run.ended(run.start(), code=1)
    assert "node configuration is not available" in said and "cluster: of the experiment" in said


def test_a_limit_above_the_partitions(run):
    run.site(partition="short")
    said = run.ended(run.start(), code=1)
    assert "now cancelled, would wait forever" in said and "PartitionTimeLimit" in said
    assert run.state() == "CANCELLED"


@pytest.mark.long
def test_an_attempt_too_short_to_save_once(run):
    run.project.edit("config/experiments/tiny.yaml", "save_every: 10", "save_every: 100000")
    run.project.python("scripts/resolve.py", "tiny")
    said = run.ended(run.start())
    assert "train.save_every: found 100000, but an attempt of 10 minutes has about" in said


def test_no_slurm_on_the_path(run, path_without_slurm):
    said = run.ended(run.start(), code=1)
    assert "is not on the PATH" in said and "--launcher local" in said
    done = run.project.snakemake("results/tiny/checkpoint.json", "--profile", "slurm", check=False)
    assert done.returncode == 1 and "is not on the PATH" in done.stderr and "Traceback" not in done.stderr
    assert "train" in run.project.snakemake("-n", "results/tiny/checkpoint.json", "--profile", "slurm").stdout


@pytest.mark.long
def test_munge_down(run):
    there = [f"--socket={CLUSTER}/run/munge.socket", f"--pid-file={CLUSTER}/run/munged.pid"]
    subprocess.run(["munged", "--stop", *there], check=True, capture_output=True)
    try:
        said = run.ended(run.start(), code=1)
    finally:
        files = {"key-file": "munge/key", "log-file": "log/munged.log", "seed-file": "munge/seed"}
        more = [f"--{name}={CLUSTER}/{path}" for name, path in files.items()]
        subprocess.run(["munged", *there, *more], check=True)
    assert "SLURM says:" in said and "munge" in said and "start it" in said


def test_snakemake_is_told_before_it_begins(run):
    run.site(partition="none")
    done = run.project.snakemake("results/tiny/checkpoint.json", "--profile", "slurm", check=False)
    assert done.returncode == 1
    assert "invalid partition specified: none" in done.stderr and "Building DAG" not in done.stderr
    (run.root / "config/site.yaml").write_text("partitio: train\n")
    done = run.project.snakemake("results/tiny/checkpoint.json", "--profile", "slurm", check=False)
    assert "config/site.yaml: partitio: unknown key; did you mean 'partition'?" in done.stderr
