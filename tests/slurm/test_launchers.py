"""One training code, started in whatever way."""

import json
import os
import subprocess
import sys

import pytest

STEPS = 50


def short(run, **cluster) -> None:
    """Let the experiment have 50 steps and this cluster."""
    run.project.edit("config/experiments/tiny.yaml", "steps: 60", f"steps: {STEPS}")
    run.project.edit("config/experiments/tiny.yaml", "{num_nodes: 2, workers: 1}", json.dumps(cluster | {"workers": 1}))
    run.project.python("scripts/resolve.py", "tiny")


@pytest.fixture(scope="module")
def inline(_prepared, tmp_path_factory):
    """The losses of one process."""
    import shutil

    from slurm_run import Run
    from typed_project import Project

    root = tmp_path_factory.mktemp("inline") / "project"
    shutil.copytree(_prepared.root, root, symlinks=True)
    run = Run(Project(root))
    short(run)
    run.ended(run.start(launcher="inline"))
    return run.losses()


@pytest.mark.long
def test_local_gives_the_same_losses(run, inline):
    short(run, gpus=2)
    run.ended(run.start(launcher="local"))
    assert run.losses() == pytest.approx(inline, rel=1e-4, abs=1e-5)  # sums in another order


def test_slurm_gives_the_same_losses(run, inline):
    short(run, num_nodes=2)
    run.ended(run.start())
    assert run.losses() == pytest.approx(inline, rel=1e-4, abs=1e-5)  # sums in another order


@pytest.mark.long
def test_torchrun_may_start_it(run, inline):
    short(run, gpus=2)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    run.ended(run.start(*torchrun, "scripts/train.py", "results/tiny/config.json"))
    assert run.losses() == pytest.approx(inline, rel=1e-4, abs=1e-5)  # sums in another order
    assert run.project.plan("results/tiny/checkpoint.json") == set()


@pytest.mark.long
def test_srun_may_start_it(run, inline):
    short(run, num_nodes=2)
    srun = ["srun", "--nodes=2", "--ntasks=2", "--gres=gpu:1", sys.executable]
    run.ended(run.start(*srun, "scripts/train.py", "results/tiny/config.json"))
    assert run.losses() == pytest.approx(inline, rel=1e-4, abs=1e-5)  # sums in another order
    assert run.project.plan("results/tiny/checkpoint.json") == set()


@pytest.mark.long
def test_two_gpus_on_each_of_two_nodes(run, inline):
    short(run, num_nodes=2, gpus=2)
    run.ended(run.start())
    assert run.losses() == pytest.approx(inline, rel=1e-4, abs=1e-5)  # sums in another order
    visible = (run.run_dir / "slurm").glob("*_3_log.out")
    assert len(list(visible)) == 1


def test_setup_and_container_stand_before_every_python_of_a_job(run):
    run.site(setup=["export FROM_SETUP=yes"], container='env INSIDE=yes "FROM_SETUP_TOO=${FROM_SETUP}"')
    run.project.edit("config/experiments/tiny.yaml", "steps: 60", "steps: 3")
    (run.root / "workflow/sitecustomize.py").write_text(
        "import os\n"
        "if 'SLURM_PROCID' in os.environ: print('seen', os.environ.get('INSIDE'), os.environ.get('FROM_SETUP_TOO'))\n"
    )
    (run.run_dir / "norm_stats.json").unlink()
    run.project.snakemake("results/tiny/checkpoint.json", "--profile", "slurm")
    (log,) = (run.run_dir / "slurm").glob("*_0_log.out")
    assert "seen yes yes" in log.read_text()
    assert "seen yes yes" in (run.run_dir / "logs/norm_stats.log").read_text()


@pytest.mark.long
def test_a_stray_job_environment_does_not_reach_the_job(run):
    """As where Snakemake itself runs in a job."""
    short(run)
    os.environ |= {"SLURM_NTASKS": "7", "SBATCH_PARTITION": "none"}
    try:
        process = run.start()
    finally:
        del os.environ["SLURM_NTASKS"], os.environ["SBATCH_PARTITION"]
    run.ended(process)
    subprocess.run(["squeue"], check=True, capture_output=True)
