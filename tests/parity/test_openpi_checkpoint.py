"""openpi's JAX weights (data/README.md), as arrays and as orbax checkpoints, are its PyTorch weights bit for bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pisft.environments import find_uv
from pisft.errors import PisftError
from pisft.model import ModelConfig, Pi0, WeightsError, load_weights
from pisft.model.convert import convert, orbax_python
from pisft.model.jax_names import read_jax
from pisft.model.weights import IGNORED, write_weights
from safetensors import safe_open
from safetensors.torch import load_file, save_file

DATA = Path(__file__).parent / "data"
CONFIG = ModelConfig.from_yaml(DATA / "oracle_pi05.yaml")
GENERATOR = Path(__file__).parents[1] / "orbax_checkpoint.py"
EMBEDDING = "paligemma_with_expert.paligemma.lm_head.weight"


def has_uv() -> bool:
    try:
        return bool(find_uv())
    except PisftError:
        return False


def in_orbax_environment(test):
    """Marks a test that needs envs/orbax, which uv installs."""
    return pytest.mark.slow(pytest.mark.skipif(not has_uv(), reason="needs uv, which `make setup` installs")(test))


@pytest.fixture(scope="module")
def save_checkpoint(tmp_path_factory):
    """Save the oracle's arrays with orbax; gives the checkpoint's folder."""

    def save(kind: str) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        saved = orbax_python(GENERATOR, DATA / "oracle_pi05_jax.npz", folder, kind)
        assert saved.returncode == 0, saved.stderr
        return folder if kind == "published" else folder / "0"

    return save


@pytest.fixture(scope="module")
def published(save_checkpoint):
    """A checkpoint like openpi's base checkpoints; not to be changed."""
    return save_checkpoint("published")


def expected() -> dict[str, torch.Tensor]:
    tensors = load_file(DATA / "oracle_pi05.safetensors")
    del tensors[IGNORED]
    return tensors


def assert_same(file: Path, expected: dict[str, torch.Tensor]) -> None:
    found = load_file(file)
    assert found.keys() == {*expected, IGNORED}
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name
    load_weights(Pi0(CONFIG), file)


def test_the_jax_arrays_are_the_pytorch_weights(tmp_path):
    arrays = {name: torch.from_numpy(array) for name, array in np.load(DATA / "oracle_pi05_jax.npz").items()}
    save_file(arrays, tmp_path / "jax.safetensors")
    with safe_open(tmp_path / "jax.safetensors", "pt") as stored:
        write_weights(CONFIG, read_jax(CONFIG, stored, "the oracle"), tmp_path / "model.safetensors")
    assert_same(tmp_path / "model.safetensors", expected())


@in_orbax_environment
@pytest.mark.parametrize("inside", ["", "params"])
def test_a_published_checkpoint_is_converted_from_its_folder_or_the_params_in_it(published, inside, tmp_path):
    convert(CONFIG, published / inside, tmp_path / "weights/model.safetensors")
    assert_same(tmp_path / "weights/model.safetensors", expected())
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["model.safetensors"]


@in_orbax_environment
def test_what_openpis_trainer_saved_is_converted_in_its_dtypes(save_checkpoint, tmp_path):
    convert(CONFIG, save_checkpoint("trained"), tmp_path / "model.safetensors")
    tensors = expected()
    tensors[EMBEDDING] = tensors[EMBEDDING].bfloat16()
    assert_same(tmp_path / "model.safetensors", tensors)


def refused(config: ModelConfig, folder: Path, out: Path, *texts: str) -> None:
    with pytest.raises(WeightsError) as error:
        convert(config, folder, out)
    for text in (str(folder), *texts):
        assert text in str(error.value)
    assert not list(out.parent.iterdir())


@in_orbax_environment
def test_a_checkpoint_of_another_model_is_refused(published, tmp_path):
    other = CONFIG.model_copy(update={"variant": "pi0"})
    refused(other, published, tmp_path / "model.safetensors", "missing state_proj/kernel", "surplus time_mlp_in/kernel")


@in_orbax_environment
def test_an_incomplete_copy_is_refused(save_checkpoint, tmp_path):
    folder = save_checkpoint("published")
    largest = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:1000])
    refused(CONFIG, folder, tmp_path / "model.safetensors", "is the copy complete?")


@in_orbax_environment
def test_a_folder_that_is_no_checkpoint_is_refused(published, tmp_path):
    out = tmp_path / "model.safetensors"
    refused(CONFIG, published.parent, out, "not an orbax checkpoint", published.name, "expected _METADATA")
    refused(CONFIG, tmp_path / "nothing", out, "not an orbax checkpoint", "no folder")


def test_without_uv_one_line_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("pisft.environments.ROOT", tmp_path)
    monkeypatch.setattr("pisft.environments.UV", tmp_path / "uv")
    (tmp_path / "envs/orbax").mkdir(parents=True)
    (tmp_path / "envs/orbax/uv.lock").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PisftError, match="uv: not found"):
        convert(CONFIG, tmp_path / "params", tmp_path / "model.safetensors")
