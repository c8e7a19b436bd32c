"""Environments under envs/ are installed as they are locked, and nothing of ours gets into them."""

import subprocess
import sys

import pytest
from pisft import environments
from pisft.errors import PisftError


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    return tmp_path


def test_an_environment_that_is_installed_by_hand_is_used_as_it_is(root):
    with pytest.raises(PisftError, match=r"byhand/\.venv: is missing, and cannot be installed by itself; see docs"):
        environments.python("byhand")
    interpreter = root / "envs/byhand/.venv/bin/python"
    interpreter.parent.mkdir(parents=True)
    interpreter.symlink_to(sys.executable)
    assert environments.python("byhand") == interpreter


def test_a_lock_that_does_not_hold_is_told_in_uvs_words(root):
    folder = root / "envs/broken"
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[project]\nname = "broken"\nversion = "1"\ndependencies = ["numpy"]\n')
    (folder / "uv.lock").write_text("version = 1\n")
    with pytest.raises(PisftError, match=r"envs/broken: could not be installed:\n.*lock"):
        environments.python("broken")


def test_a_locked_environment_is_installed_once_and_is_its_own(root, monkeypatch, capfd):
    folder = root / "envs/empty"
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[project]\nname = "empty"\nversion = "1"\n[tool.uv]\npackage = false\n')
    subprocess.run(
        [environments.find_uv(), "lock", "--quiet", "--project", folder], check=True, env=environments.clean()
    )
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("VIRTUAL_ENV", "/ours")
    interpreter = environments.python("empty")
    assert interpreter == environments.python("empty") and capfd.readouterr().err.count("being installed, once") == 1
    code = "import importlib.util, sys; print([m for m in ('pisft', 'torch', 'numpy') if importlib.util.find_spec(m)])"
    done = subprocess.run([interpreter, "-c", code], env=environments.clean(), capture_output=True, text=True)
    assert done.stdout == "[]\n"
