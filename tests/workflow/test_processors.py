"""What comes out depends on no processor: the same bits on this one and on others, which are emulated."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lerobot_data import make_lerobot_dataset
from pisft import arithmetic
from typed_project import ROOT

QEMU = "qemu-x86_64"
OLDEST = 10  # 7 computes with AVX2 wrongly; none between was tried
PROCESSORS = ("Haswell", "Skylake-Client", "EPYC")


def unable() -> str:
    """Why no processor can be emulated here, or the results of one cannot be compared."""
    if not (sys.platform == "linux" and arithmetic._capable()):
        return "needs x86-64 Linux on a processor with AVX2 and FMA"
    if not shutil.which(QEMU):
        return f"needs {QEMU}, of the package qemu-user"
    version = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+)", version)
    if not found or int(found[1]) < OLDEST:
        return f"needs qemu-user {OLDEST} or newer, since 7 computes with AVX2 wrongly; found {version.splitlines()[0]}"
    return ""


emulated = pytest.mark.skipif(bool(unable()), reason=unable())
software = pytest.mark.skipif(Path("/dev/dri").exists() or Path("/dev/nvidiactl").exists(), reason="a GPU draws here")


def flags() -> set[str]:
    """What this processor says it has, and who made it."""
    try:
        return set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return set()


OTHER = "EPYC" if "GenuineIntel" in flags() else "Haswell"  # of the other vendor
EACH = [OTHER, *(pytest.param(name, marks=pytest.mark.long) for name in PROCESSORS if name != OTHER)]


def results(script: str, *args: str | Path, processor: str = "", **env: str) -> dict[str, str]:
    """What `tests/<script>` prints here or on an emulated `processor`, by name."""
    emulator = [QEMU, "-cpu", processor] if processor else []
    # what this process computes with was chosen when it started
    own = {key: value for key, value in os.environ.items() if key not in {*arithmetic.PORTABLE, arithmetic.SWITCH}}
    ran = subprocess.run(
        [*emulator, sys.executable, ROOT / "tests" / script, *args],
        env=own | {"PYTHONPATH": str(ROOT / "workflow")} | env,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return dict(line.split() for line in ran.stdout.splitlines())


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return make_lerobot_dataset(tmp_path_factory.mktemp("processors") / "lerobot", (6, 5, 7), size=(32, 32))


@pytest.fixture(scope="module")
def trained(dataset) -> dict[str, str]:
    """What the experiments come to here."""
    return results("micro_experiment.py", dataset, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", PYTHONHASHSEED="1")


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    """What the frames come to here."""
    return results("micro_render.py")


def test_training_depends_on_no_thread_count_and_no_hash_seed_of_the_environment(dataset, trained):
    other = {"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4", "PYTHONHASHSEED": "2"}
    assert results("micro_experiment.py", dataset, **other) == trained


@emulated
@pytest.mark.slow
@pytest.mark.parametrize("processor", EACH)
def test_training_comes_out_the_same_on_another_processor(dataset, trained, processor):
    assert results("micro_experiment.py", dataset, processor=processor) == trained


@emulated
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif("avx512f" not in flags(), reason="this processor is too like the emulated ones to tell")
def test_it_would_not_if_each_processor_computed_as_it_does_best(dataset):
    arguments = ("micro_experiment.py", dataset, "--parts", "pi0")
    native = {arithmetic.SWITCH: "native"}
    here, there = results(*arguments, **native), results(*arguments, processor="Haswell", **native)
    assert here["pi0.initial"] == there["pi0.initial"]
    assert here["pi0.weights"] != there["pi0.weights"]


@software
@pytest.mark.parametrize("width", [128, 256])
def test_frames_depend_on_no_width_of_vectors(drawn, width):
    # a cached shader would be of another width
    env = {"LP_NATIVE_VECTOR_WIDTH": str(width), "MESA_SHADER_CACHE_DISABLE": "true"}
    assert results("micro_render.py", **env) == drawn


@software
@emulated
@pytest.mark.slow
@pytest.mark.parametrize("processor", EACH)
def test_frames_and_physics_come_out_the_same_on_another_processor(drawn, processor):
    assert results("micro_render.py", processor=processor, MESA_SHADER_CACHE_DISABLE="true") == drawn
