"""The two images hold the same environment, what a build reads is there, and what comes later needs no compiler."""

import re
import subprocess
import tomllib
from fnmatch import fnmatch

import pytest
from typed_project import ROOT

DOCKER = (ROOT / "envs/Dockerfile").read_text()
PURE = {"antlr4-python3-runtime", "bddl", "robomimic"}  # sources of Python alone
APPTAINER = (ROOT / "envs/apptainer.def").read_text()


@pytest.mark.parametrize(
    "line", [r"apt-get install (.*?)(?: \\)?$", r"(uv==[\d.]+)", r"(uv sync .*)$", r"(printf .*) \\$", r"(python:\S+)"]
)
def test_docker_and_apptainer_hold_the_same(line):
    docker, apptainer = (re.search(line, text, re.MULTILINE) for text in (DOCKER, APPTAINER))
    assert docker and apptainer and docker[1] == apptainer[1]


def test_what_is_copied_is_there_and_not_left_out():
    left_out = (ROOT / ".dockerignore").read_text().split()
    copied = re.search(r"^COPY (pyproject.*) \./$", DOCKER, re.MULTILINE)[1].split()
    assert {"pyproject.toml", "uv.lock"} <= {*copied}
    for name in [*copied, "Snakefile", "rules", "scripts", "tools", "workflow", "config", "envs"]:
        assert (ROOT / name).exists() and not any(fnmatch(name, pattern) for pattern in left_out)


@pytest.mark.parametrize("lock", sorted(ROOT.glob("envs/*/uv.lock")), ids=lambda path: path.parent.name)
def test_what_is_installed_in_a_container_is_not_compiled(lock):
    packages = tomllib.loads(lock.read_text())["package"]
    asked = {
        dependency["name"]
        for package in packages
        for dependency in package.get("dependencies", [])
        if "'never'" not in dependency.get("marker", "")
    }
    ready = {
        package["name"]
        for package in packages
        for wheel in package.get("wheels", [])
        if wheel["url"].endswith("-any.whl") or re.search(r"manylinux.*x86_64|linux_x86_64", wheel["url"])
    }
    assert asked - ready <= PURE, "the images have neither a compiler nor CMake"


def test_the_dockerfile_is_clean():
    said = subprocess.run(["hadolint", ROOT / "envs/Dockerfile"], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout
