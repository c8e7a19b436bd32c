"""Statistics of base weights are found in every place where upstream keeps them, and chosen where there are several."""

import pytest
from hub_server import serve
from huggingface_hub import constants
from pisft.data.errors import DataError
from pisft.data.sources import hub
from pisft.data.statistics.base_stats import base_stats
from pisft.stages import STAGES
from tiny_training import FORMAT, make_experiment

ASKED = {"norm_stats": {"from": "base"}}
PLACES = {
    "norm_stats.json": "",
    "assets/trossen/norm_stats.json": "trossen",
    "assets/physical-intelligence/libero/norm_stats.json": "physical-intelligence/libero",
    "physical-intelligence/libero/norm_stats.json": "physical-intelligence/libero",
    "franka/norm_stats.json": "franka",
    "policy_preprocessor_step_5_normalizer_processor.safetensors": "",
}


def put(folder, *places, text="{}"):
    for place in places:
        file = folder / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return file


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "base", [{"path": "weights"}, {"path": "weights/model.safetensors"}, {"orbax": "weights/params"}]
)
def test_statistics_are_found_where_upstream_puts_them(tmp_path, image_dataset, place, base):
    config = make_experiment(tmp_path, image_dataset, model={"base": base}, parts=ASKED)
    (tmp_path / "weights").mkdir()
    with pytest.raises(DataError, match=r"holds no statistics; expected one of norm_stats\.json, assets"):
        base_stats(config, tmp_path)
    file = put(tmp_path / "weights", place)
    assert base_stats(config, tmp_path) == file


def test_of_several_the_one_that_is_asked_for_counts(tmp_path, image_dataset):
    put(tmp_path / "weights", "assets/trossen/norm_stats.json", "assets/droid/norm_stats.json")
    make = {"model": {"base": {"path": "weights"}}}
    config = make_experiment(tmp_path, image_dataset, **make, parts=ASKED)
    with pytest.raises(DataError, match=r"several robots or datasets: droid, trossen; choose with .*asset_id"):
        base_stats(config, tmp_path)
    asked = {"norm_stats": {"from": "base", "asset_id": "trossen"}}
    config = make_experiment(tmp_path, image_dataset, **make, parts=asked)
    assert base_stats(config, tmp_path) == tmp_path / "weights/assets/trossen/norm_stats.json"
    asked = {"norm_stats": {"from": "base", "asset_id": "frnka"}}
    config = make_experiment(tmp_path, image_dataset, **make, parts=asked)
    with pytest.raises(DataError, match=r"asset_id: found frnka; .* has statistics of droid, trossen"):
        base_stats(config, tmp_path)


def test_of_several_the_one_that_upstream_would_take_counts(tmp_path, image_dataset):
    put(tmp_path / "weights", "assets/trossen/norm_stats.json", "assets/droid/norm_stats.json")
    parts = ASKED | {"format": FORMAT | {"asset_id": "droid"}}
    config = make_experiment(tmp_path, image_dataset, model={"base": {"path": "weights"}}, parts=parts)
    assert base_stats(config, tmp_path) == tmp_path / "weights/assets/droid/norm_stats.json"


def test_two_files_for_one_robot_are_the_same_or_an_error(tmp_path, image_dataset):
    config = make_experiment(tmp_path, image_dataset, model={"base": {"path": "weights"}}, parts=ASKED)
    put(tmp_path / "weights", "assets/droid/norm_stats.json", "droid/norm_stats.json")
    assert base_stats(config, tmp_path).parent.name == "droid"
    put(tmp_path / "weights", "droid/norm_stats.json", text="[]")
    with pytest.raises(DataError, match="are not the same; remove the wrong one"):
        base_stats(config, tmp_path)


def test_statistics_come_from_the_hub_once(tmp_path, image_dataset, monkeypatch):
    repo, commit = "somebody/weights", "0123456789abcdef0123456789abcdef01234567"
    put(tmp_path / "hub", "assets/droid/norm_stats.json", "assets/trossen/norm_stats.json", "README.md")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "PATIENCE", 2.0)
    base = {"repo": repo, "revision": commit}
    asked = {"norm_stats": {"from": "base", "asset_id": "droid"}}
    config = make_experiment(tmp_path, image_dataset, model={"base": base}, parts=asked)
    with serve(tmp_path / "hub", repo, commit, kind="models") as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        found = base_stats(config, tmp_path)
        assert found.read_text() == "{}" and server.asked == ["assets/droid/norm_stats.json from 0"]
    assert base_stats(config, tmp_path) == found, "without the network, what was fetched is there"


@pytest.mark.parametrize("base", [{"path": "weights/model.safetensors"}, {"orbax": "weights/params"}])
def test_other_statistics_beside_the_weights_are_another_key(tmp_path, image_dataset, base):
    config = make_experiment(tmp_path, image_dataset, model={"base": base}, parts=ASKED)
    file = put(tmp_path / "weights", "assets/droid/norm_stats.json")
    stage = STAGES["norm_stats"]
    assert not [parent for parent in stage.parents(config) if parent.stage == "convert"], "no conversion first"
    before = stage.sources(config, tmp_path)["base"].listing()
    file.write_text("[1]")
    assert stage.sources(config, tmp_path)["base"].listing() != before


def test_an_asset_id_without_a_base_is_a_mistake(tmp_path, image_dataset):
    with pytest.raises(ValueError, match="only the statistics of base weights have one"):
        make_experiment(tmp_path, image_dataset, parts={"norm_stats": {"asset_id": "droid"}})
