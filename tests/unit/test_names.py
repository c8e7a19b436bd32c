"""A name that could be more than a name is refused where it enters, in one line that shows it."""

import runpy
import sys

import pytest
import yaml
from hostile_names import HOSTILE, ODD
from pisft.config import load_paper, resolve
from pisft.config.base import ConfigError, find_named, parse
from pisft.config.dataset import DatasetConfig
from pisft.config.format import FormatConfig
from pisft.config.simulators import SimulatorFile
from pisft.errors import PisftError
from pisft.names import printable, shown, why_no_key, why_no_name, why_no_task
from pisft.provenance.rules import stamp
from pisft.stages import STAGES as ALL
from snakemake.exceptions import WorkflowError
from typed_project import ROOT

STAGES = [stage for stage in ALL if stage not in ("diff", "make_frames")]
SCRIPTS = {
    "scripts/resolve.py": ["{}"],
    "scripts/make_dataset.py": ["{}"],
    "scripts/convert.py": ["{}"],
    "scripts/sweep.py": ["{}"],
    "scripts/paper.py": ["{}", "--write"],
    "scripts/make_frames.py": ["data/{}/frames/observation.image.96"],
    "tools/why.py": ["results/{}/report.html"],
    "scripts/train.py": ["results/{}/config.json"],
    "scripts/diff.py": ["--write", "--", "quickstart", "{}"],
    "tools/import_rlinf.py": ["theirs.yaml", "--name={}"],
    "scripts/inspect_dataset.py": ["lerobot", "--name={}"],
}


def one_line(error: BaseException) -> bool:
    return str(error).isprintable() and 0 < len(str(error)) < 700


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The configuration and the scripts, where nothing is built."""
    for name in ("config", "scripts", "tools", "envs"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", HOSTILE)
def test_snakemake_is_given_no_job_for_such_a_name(project, name):
    for stage in STAGES:
        with pytest.raises(WorkflowError, match="cannot name") as error:
            stamp(stage)([name])
        assert one_line(error.value)
    for pair in ([name, "quickstart"], ["quickstart", name]):
        with pytest.raises(WorkflowError, match="cannot name") as error:
            stamp("diff")(pair)
        assert one_line(error.value)
    if "/" not in name:
        for view in (f"{name}/frames/observation.image.96", f"metaworld_quickstart/frames/{name}"):
            with pytest.raises(WorkflowError, match="cannot name") as error:
                stamp("make_frames")([view])
            assert one_line(error.value)
    assert not (project / ".snakemake").exists()


def edited(path: str, **changes) -> dict:
    return yaml.safe_load((ROOT / path).read_text()) | changes


@pytest.mark.parametrize("name", HOSTILE)
def test_no_file_may_name_another_so(tmp_path, name):
    for folder in ("formats", "datasets", "models", "simulators", "papers"):
        (tmp_path / "config").mkdir(exist_ok=True)
        (tmp_path / "config" / folder).symlink_to(ROOT / "config" / folder)
    path = tmp_path / "config/experiments/mine.yaml"
    path.parent.mkdir()
    loop = edited("config/experiments/quickstart.yaml")["eval"]["closed_loop"]
    for changes in (
        {"extends": name},
        {"extends": "quickstart", "model": name},
        {"extends": "quickstart", "format": name},
        {"extends": "quickstart", "datasets": [{"name": name}]},
        {"extends": "quickstart", "eval": {"closed_loop": loop | {"simulator": name}}},
    ):
        (path.parent / "quickstart.yaml").write_text((ROOT / "config/experiments/quickstart.yaml").read_text())
        path.write_text(yaml.safe_dump(changes))
        with pytest.raises(ConfigError, match="cannot be a name") as error:
            resolve("mine", tmp_path)
        assert one_line(error.value)
    for ask in (resolve, load_paper):
        with pytest.raises(ConfigError):
            ask(name, tmp_path)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_camera_and_no_task_may_be_called_so(name):
    fmt = edited("config/formats/metaworld_quickstart.yaml", features={})
    with pytest.raises(ConfigError, match=r"f.yaml: cameras.*a camera's key names a folder") as error:
        parse(fmt | {"cameras": {"base_0_rgb": name}}, FormatConfig, "f.yaml")
    assert one_line(error.value)
    image = {name: {"dtype": "video", "shape": [8, 8, 3]}}
    made_up = {"source": "synthetic", "features": image, "fps": 10, "episodes": 1, "frames": 9}
    with pytest.raises(ConfigError, match="a camera's key names a folder") as error:
        parse({"origin": made_up}, DatasetConfig, "f.yaml")
    assert one_line(error.value)
    simulator = edited("config/simulators/metaworld.yaml")
    if name != "/a":
        with pytest.raises(ConfigError, match="a task names files") as error:
            parse({"origin": simulator | {"tasks": simulator["tasks"] | {name: "do it"}}}, SimulatorFile, "f.yaml")
        assert one_line(error.value)


@pytest.mark.parametrize("name", ODD)
def test_a_camera_that_is_only_odd_is_taken(name):
    assert why_no_key(name) is None and why_no_task(f"suite/{name}") is None
    fmt = edited("config/formats/metaworld_quickstart.yaml", features={}) | {"cameras": {"base_0_rgb": name}}
    assert parse(fmt, FormatConfig, "f.yaml").keys("cameras") == [name]


def test_the_names_that_there_are_are_names():
    files = sorted(ROOT.glob("config/*/*.yaml"))
    assert len(files) > 60 and not [path for path in files if why_no_name(path.stem)]
    assert all(why_no_name(name) is None for name in ("quickstart~smoke", "q~peak_lr=1e-05~seed=0", "v2.1", "a+b"))
    with pytest.raises(ConfigError, match="did you mean 'quickstart'"):
        find_named(ROOT / "config/experiments", "quikstart", "x.yaml", "extends")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_that_is_given_such_a_name_says_so_and_writes_nothing(project, script, monkeypatch, capfd):
    (project / "theirs.yaml").write_text("runner: {task_type: sft}\n")
    before = sorted(path for path in project.rglob("*"))
    for name in HOSTILE:
        if "\0" in name or (not name and SCRIPTS[script][-1].startswith("--name")):  # no word that can be typed
            continue
        arguments = [argument.format(name) for argument in SCRIPTS[script]]
        if arguments[0].startswith("-") and "--" not in arguments:
            arguments.insert(0, "--")
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        said = capfd.readouterr().err
        assert end.value.code in (1, 2), (name, said)
        message = said[said.index("error: ") :].strip()
        assert message.isprintable() and len(message) < 700, (name, message)
        assert sorted(path for path in project.rglob("*")) == before, name


def test_what_a_terminal_would_obey_is_written_out():
    assert printable("a\x1b[2Jb\nc\u202ed") == "a\\x1b[2Jb\nc\\u202ed"
    assert str(PisftError("data: '\x1b]0;x\x07'")) == "data: '\\x1b]0;x\\x07'"
    assert shown("a\nb" * 100_000).isprintable() and len(shown("a\nb" * 100_000)) == 80
