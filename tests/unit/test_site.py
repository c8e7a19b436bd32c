"""config/site.yaml: its template is true, its mistakes are told, and Snakemake is told the same as sbatch."""

import re

import pytest
import yaml
from pisft.cluster.profile import profile
from pisft.config import ConfigError
from pisft.config.site import Site, load, prefix
from typed_project import ROOT


def write(folder, text):
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config/site.yaml").write_text(text)
    return folder


def test_the_template_shows_every_key_with_its_default():
    text = (ROOT / "config/site.yaml").read_text()
    lines = [line.removeprefix("# ") for line in text.splitlines() if re.match(r"#   ?\w+:|# \w+:", line)]
    shown = yaml.safe_load("\n".join(lines))
    assert Site.model_validate(shown) == Site()
    assert shown.keys() == Site.model_fields.keys()
    assert shown["train"].keys() | {"partition"} == type(Site().train).model_fields.keys()


def test_an_empty_or_missing_file_is_all_defaults(tmp_path):
    assert load(tmp_path) == load(write(tmp_path, "# nothing\n")) == load(ROOT) == Site()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("partitions: gpu", "did you mean 'partition'?"),
        ("gpu: h100", "config/site.yaml: gpu: found 'h100'"),
        ("flags: [--time=5]", "--time has a key of its own"),
        ("flags: [reservation=robots]", "is not of the form --name=value"),
        ("train: {minutes: 0}", "train.minutes: found 0"),
        ("- a list", "expected a mapping"),
    ],
)
def test_a_mistake_is_told(tmp_path, text, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        load(write(tmp_path, text))


def test_snakemakes_executor_asks_for_the_same(tmp_path):
    site = load(
        write(
            tmp_path,
            "{partition: cpu, account: robots, gpu: 'gpu:h100', flags: [--reservation=a b],"
            " job: {minutes: 7, cpus: 3}, evaluate: {partition: gpu, minutes: 600, memory_gb: 1.5}}",
        )
    )
    said = profile(site)
    assert said["slurm-no-account"] is False
    assert said["default-resources"] == {
        "slurm_partition": "'cpu'",
        "slurm_account": "'robots'",
        "slurm_extra": repr("'--reservation=a b'"),
        "mem_mb": 8192,
        "runtime": "'7m'",
    }
    assert said["set-resources"]["evaluate"] == {
        "slurm_partition": "'gpu'",
        "mem_mb": 1536,
        "runtime": "'600m'",
        "gpu": 1,
        "gpu_model": "'h100'",
    }
    assert said["set-threads"] | {"norm_stats": 3, "evaluate": 16, "train": 1} == said["set-threads"]
    assert profile(Site(gpu=None))["set-resources"]["evaluate"]["gpu"] == 0
    assert profile(Site())["slurm-no-account"] is True
    converted = [profile(Site(job={"memory_gb": gb}))["set-resources"]["convert"]["mem_mb"] for gb in (8, 64)]
    assert converted == [20 * 1024, 64 * 1024], "never less than the weights take"


def test_only_a_job_has_the_sites_commands_before_its_own(monkeypatch):
    site = Site(setup=["module load ${CUDA}"], container="apptainer exec image.sif")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert prefix(site) == ""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert prefix(site).format().startswith("module load ${CUDA}\n")
    assert 'python() { apptainer exec image.sif python "$@"; }' in prefix(site).format()


def test_a_nodes_own_disk_is_named_by_the_nodes_variables(monkeypatch):
    monkeypatch.setenv("SCRATCH", "/fast")
    assert str(Site(local_disk="$SCRATCH/frames").disk) == "/fast/frames"
    assert Site().disk is None
