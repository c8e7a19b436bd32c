"""The doctor looks and tells; it changes nothing and needs nothing that may be missing."""

import os
import shutil
import subprocess
import sys

import pytest
from pisft import doctor, environments
from typed_project import ROOT


def test_each_thing_is_told_with_what_needs_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(doctor, "loads", lambda library: False)
    found = {finding.what: finding for finding in doctor.examine(tmp_path)}
    assert found["Python 3.12"].has
    for what in (
        "NVIDIA driver 580",
        "OpenGL without a screen",
        "Vulkan",
        "SLURM",
        "hub",
        "chromedriver",
        "envs/maniskill",
    ):
        assert found[what].has is False and found[what].enables, what
    assert found["hub"].found.startswith("cannot be reached")
    assert list(tmp_path.iterdir()) == []


def test_an_environment_that_is_there_is_found(tmp_path, monkeypatch):
    interpreter = tmp_path / "envs/aloha/.venv/bin/python"
    interpreter.parent.mkdir(parents=True)
    interpreter.touch()
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    found = {finding.what: finding.has for finding in doctor._environments()}
    assert found["envs/aloha"] and not found["envs/maniskill"]


@pytest.mark.parametrize(
    ("said", "has", "found"),
    [
        ("580.82.07\\n580.82.07", True, "580.82.07"),
        ("570.133.20", False, "570.133.20, which is older"),
        ("No devices were found", False, "nvidia-smi does not answer (ValueError)"),
    ],
)
def test_the_drivers_version_is_held_against_what_cuda_needs(tmp_path, monkeypatch, said, has, found):
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\nprintf '{said}'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = doctor._driver()
    assert (finding.has, finding.found) == (has, found)
    install = (ROOT / "docs/install.md").read_text()
    assert f"driver {doctor.DRIVER} or newer" in " ".join(install.split())


@pytest.mark.parametrize(("free", "has"), [(99, False), (101, True)])
def test_two_states_of_a_full_size_training_have_to_fit_on_the_disk(tmp_path, monkeypatch, free, has):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, free * doctor.GIB))
    assert doctor._disk(tmp_path)[0].has is has


def test_the_command_prints_a_line_a_thing():
    variables = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": "a secret"}
    done = subprocess.run(
        [sys.executable, "tools/doctor.py"], cwd=ROOT, env=variables, capture_output=True, text=True, check=True
    )
    assert "✓ Python 3.12" in done.stdout and "✓ hub token" in done.stdout and "secret" not in done.stdout
