"""A diff says what differs between two results, and nothing where nothing does."""

import json
import subprocess

import pytest
import torch
import warm
from made_up import closed_loop, evaluation
from pisft.config import resolve
from pisft.diff.compare import compare, write_diff
from pisft.diff.films import film_flips
from pisft.diff.measure import differ, measure
from pisft.diff.page import render
from pisft.diff.rebuild import at_random, verdict
from pisft.diff.side import Side
from pisft.diff.terminal import summary
from pisft.errors import PisftError
from pisft.records.difference import Changed, Curve, Flip, LayerChange, Reshaped
from pisft.stages import Node, node_of
from pisft.stages.base import subject
from safetensors.torch import save_file
from typed_project import ROOT

CONFIG = {"name": "x", "train": {"peak_lr": 1e-3, "seed": 0}, "datasets": [{"name": "d"}], "cluster": {"gpus": 1}}
STATS = {"mean": [0.0, 1.0], "std": [1.0, 2.0], "q01": [-1.0, -1.0], "q99": [1.0, 3.0]}


def _evaluation(outcomes, loss=0.5):
    closed = closed_loop({"push": outcomes}, videos={"push_0": "videos/push_0.mp4"})
    return evaluation("x", closed, loss, dx=loss, dy=1.0).model_dump(mode="json")


RECORD = {
    "schema_version": 1,
    "stage": "train",
    "config": {},
    "code": {"pisft/a.py": "h1"},
    "packages": {"torch": "2.11"},
    "parents": {"data/d/manifest.json": "k1"},
    "pins": {},
    "key": "k",
    "outputs": {},
    "uv_lock": None,
    "arithmetic": "portable",
}


@pytest.fixture
def make(tmp_path):
    """A results folder; `changes` by the file's name, None for what is not there."""

    def result(name, **changes):
        folder = tmp_path / "results" / name
        (folder / "provenance").mkdir(parents=True)
        (folder / "checkpoint").mkdir()
        files = {
            "config": CONFIG | {"name": name},
            "norm_stats": {"norm_stats": {"state": STATS, "actions": STATS}},
            "eval": _evaluation([True, False, True, False]),
            "provenance/train": RECORD | {"parents": RECORD["parents"] | {f"results/{name}/norm_stats.json": name}},
        }
        for path, content in (files | changes.get("files", {})).items():
            if content is not None:
                (folder / f"{path}.json").write_text(json.dumps(content))
        metrics = changes.get("metrics", "step,loss,val_loss\n10,1.0,\n20,0.5,0.6\n")
        (folder / "metrics.csv").write_text(metrics)
        weights = {f"m.layers.{i}.w": torch.full((2, 2), float(i + 1)) for i in range(3)} | {
            "m.out.weight": torch.ones(3)
        }
        if (other := changes.get("weights", {})) is not None:
            save_file(weights | other, folder / "checkpoint/model.safetensors")
        (folder / "videos").mkdir()
        (folder / "videos/push_0.mp4").touch()
        return Side.read(folder, name)

    return result


def test_a_result_and_its_copy_do_not_differ(make):
    content = measure(make("a"), make("b"))
    assert not differ(content) and not differ(content, tolerance=0.0)
    assert content.weights.same and content.config == content.code == []
    assert summary(content, color=False) == "a → b\n\nno difference".replace("\n\n", "\n")


def test_only_what_differs_of_a_configuration_is_told(make):
    changed = CONFIG | {"train": {"peak_lr": 2e-3, "seed": 0}, "cluster": {"gpus": 8}, "extra": {"deep": [1, 2]}}
    content = measure(make("a"), make("b", files={"config": changed}))
    assert content.config == [
        Changed(key="train.peak_lr", a=1e-3, b=2e-3),
        Changed(key="extra.deep", a=None, b=[1, 2]),
    ]
    assert differ(content) and not differ(content, tolerance=0.0)
    assert "train.peak_lr: 0.001 → 0.002" in summary(content, color=False)
    assert "\033[32m0.002\033[0m" in summary(content, color=True)


def test_datasets_packages_and_code_are_compared_by_what_was_recorded(make):
    record = RECORD | {
        "parents": {"data/d/manifest.json": "k2", "results/y/norm_stats.json": "other"},
        "pins": {"base": "p"},
        "packages": {"torch": "2.12"},
        "code": {"pisft/a.py": "h1", "pisft/b.py": "h2"},
    }
    content = measure(make("a"), make("b", files={"provenance/train": record}))
    assert [row.key for row in content.inputs] == ["data/d/manifest.json", "base"]
    assert content.packages == [Changed(key="torch", a="2.11", b="2.12")]
    assert content.code == [Changed(key="pisft/b.py", a=None, b="h2")]


def test_statistics_come_with_the_largest_shift_first(make):
    moved = {**STATS, "mean": [0.5, 5.0]}
    content = measure(make("a"), make("b", files={"norm_stats": {"norm_stats": {"state": moved, "actions": STATS}}}))
    assert list(content.norm_stats) == ["state"]
    rows = content.norm_stats["state"]
    assert [(row.dim, row.shifts["mean"], row.distance) for row in rows] == [(1, 2.0, 2.0), (0, 0.5, 0.5)]
    assert differ(content, tolerance=1.9) and not differ(content, tolerance=2.1)
    wider = {key: [*values, 1.0] for key, values in STATS.items()}
    content = measure(make("c"), make("d", files={"norm_stats": {"norm_stats": {"state": wider, "actions": STATS}}}))
    assert content.norm_stats["state"][0].distance is None and differ(content, tolerance=100)


def test_weights_are_compared_layer_by_layer(make):
    changed = {"m.layers.1.w": torch.full((2, 2), 3.0), "m.extra.weight": torch.ones(1)}
    content = measure(make("a"), make("b", weights=changed))
    layers = content.weights.layers
    assert layers[0] == LayerChange(layer="m.layers.1", relative_change=0.5, parameters=4, changed=4)
    assert all(row.changed == 0 for row in layers[1:])
    assert content.weights.only_b == ["m.extra.weight"] and differ(content, tolerance=10)
    content = measure(make("c"), make("d", weights={"m.out.weight": torch.ones(4)}))
    assert content.weights.reshaped == [Reshaped(name="m.out.weight", a=[3], b=[4])]


def test_success_is_compared_seed_by_seed_and_flips_have_their_videos(make, tmp_path):
    a, b = make("a"), make("b", files={"eval": _evaluation([False, False, True, True], loss=0.6)})
    content = measure(a, b)
    flips = content.success.flips
    assert flips.won == [Flip(task="push", seed=3, videos=(None, None))]
    assert flips.lost == [Flip(task="push", seed=0, videos=("videos/push_0.mp4",) * 2)]
    assert content.open_loop.flow_loss == (0.5, 0.6)
    assert differ(content) and differ(content, tolerance=0.1) and not differ(content, tolerance=0.3)
    for side in (a, b):
        (side.folder / "videos").mkdir(exist_ok=True)
        (side.folder / "videos/push_0.mp4").touch()
    folder = tmp_path / "results/diff/a..b"
    films, why_not = film_flips(content, (a, b), folder / "films", 12, workers=1)
    assert films == {(i, "push", 0): side.folder / "videos/push_0.mp4" for i, side in enumerate((a, b))}
    page = render(content, folder / "diff.html", films, why_not)
    assert str(tmp_path) not in render(content, folder / "diff.html", films)
    assert 'src="../../a/videos/push_0.mp4"' in page and 'src="../../b/videos/push_0.mp4"' in page
    assert "Not filmed: a: " in page, "the other flip was not filmed by the evaluation, and these are no experiments"


def test_episodes_of_other_packages_are_no_pairs_but_two_samples(make, tmp_path):
    other = _evaluation([True, True, False, False])
    other["closed_loop"]["protocol"]["packages"] = {"mujoco": "3.6"}
    content = measure(make("a"), make("b", files={"eval": other}))
    assert content.success.flips is None and content.success.overall.test == "Fisher's exact"
    assert "(mujoco 3.5, 3.6)" in summary(content, color=False)
    assert "not paired: a seed may stand for another" in render(content, tmp_path / "diff.html")


def test_other_protocols_are_told_and_not_compared(make):
    other = _evaluation([True] * 4)
    other["closed_loop"]["protocol"]["max_steps"] = 6
    content = measure(make("a"), make("b", files={"eval": other}))
    assert differ(content) and differ(content, tolerance=100)
    assert "ran under different protocols: max_steps differ" in content.success.why_not
    assert "different protocols" in summary(content, color=False)


def _without_loop():
    return _evaluation([]) | {"closed_loop": None}


def _other_seeds():
    other = _evaluation([True, False, True, False])
    for episode in other["closed_loop"]["episodes"]:
        episode["seed"] += 10
    return other


def _longer():
    other = _evaluation([True, False, True, False])
    other["closed_loop"]["episodes"][0]["steps"] = 4
    return other


def _error():
    other = _evaluation([True, False, True, False])
    other["open_loop"]["action_error"]["robot"]["per_dim"]["dy"] = 2.0
    return other


STATISTICS = {"norm_stats": {"state": {**STATS, "q01": [-1.0, -1.5]}, "actions": STATS}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"files": {"config": CONFIG | {"datasets": []}}}, "configuration"),
        ({"files": {"provenance/train": RECORD | {"pins": {"base": "p"}}}}, "datasets and base weights"),
        ({"files": {"provenance/train": RECORD | {"packages": {"torch": "2.12"}}}}, "torch: 2.11 → 2.12"),
        ({"files": {"provenance/train": RECORD | {"arithmetic": "native"}}}, "train: portable → native"),
        ({"files": {"provenance/train": RECORD | {"code": {"pisft/a.py": "h2"}}}}, "code"),
        ({"files": {"norm_stats": STATISTICS}}, "1: q01 -0.250"),
        ({"weights": {"m.out.weight": torch.zeros(3)}}, "m.out: 1.00e+00"),
        (
            {"metrics": "step,loss,val_loss\n10,1.0,\n20,0.4,0.6\n"},
            "in training: 0.5000 → 0.4000 at the end, apart since",
        ),
        ({"metrics": "step,loss,val_loss\n10,1.0,\n20,0.5,0.7\n"}, "held out: 0.6000 → 0.7000"),
        (
            {"files": {"eval": _evaluation([True, False, True, False], loss=0.6)}},
            "flow loss on held-out episodes: 0.5000 → 0.6000",
        ),
        ({"files": {"eval": _error()}}, "action error of dy: 1 → 2"),
        ({"files": {"eval": _evaluation([False, True, True, False])}}, "fail now: push 0"),
        ({"files": {"eval": _other_seeds()}}, "Fisher's exact"),
        ({"files": {"eval": _longer()}}, "overall: 2/4 → 2/4"),
        ({"files": {"eval": _without_loop()}}, "eval.json: closed_loop: a"),
        ({"files": {"eval": None}}, "eval.json: a"),
        ({"files": {"norm_stats": None}}, "norm_stats.json: a"),
        ({"metrics": "step,loss\n"}, "metrics.csv: a"),
        ({"weights": None}, "checkpoint/model.safetensors: a"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_differs_is_told_and_makes_the_two_differ(make, changes, told):
    a, b = make("a"), make("b", **changes)
    for content in (measure(a, b), measure(b, a)):
        assert differ(content) and "no difference" not in summary(content, color=False)
    assert told in summary(measure(a, b), color=False)


@pytest.mark.parametrize(
    ("changes", "close", "far"),
    [
        (
            {"files": {"norm_stats": {"norm_stats": {"state": STATS | {"std": [10.0, 2.0]}, "actions": STATS}}}},
            9.1,
            8.9,
        ),
        ({"files": {"norm_stats": STATISTICS}}, 0.26, 0.24),
        ({"files": {"norm_stats": {"norm_stats": {"state": STATS | {"q99": [1.5, 3.0]}, "actions": STATS}}}}, 0.6, 0.4),
        ({"files": {"eval": _evaluation([True, False, True, False], loss=0.6)}}, 0.21, 0.19),
        ({"files": {"eval": _evaluation([False, False, True, True])}}, 0.0, None),
        ({"files": {"eval": _other_seeds()}}, 0.0, None),
        ({"files": {"config": CONFIG | {"extra": 1}, "provenance/train": RECORD | {"code": {}}}}, 0.0, None),
        ({"metrics": "step,loss\n"}, 0.0, None),
        ({"files": {"eval": _without_loop()}}, None, 1e9),
        ({"files": {"eval": None}}, None, 1e9),
        ({"files": {"norm_stats": None}}, None, 1e9),
        ({"weights": None}, None, 1e9),
        ({"files": {"eval": _evaluation([True, False, True, False], loss=float("nan"))}}, None, 1e9),
    ],
)
def test_within_a_tolerance_are_near_numbers_and_never_what_cannot_be_compared(make, changes, close, far):
    a, b = make("a"), make("b", **changes)
    assert close is None or not differ(measure(a, b), close)
    if far is not None:
        assert differ(measure(a, b), far)
    if close is None:
        assert differ(measure(b, a), far), "nor the other way round"


def test_a_rebuild_is_judged_by_the_same_numbers(make):
    a, b = make("a"), make("b", files={"eval": None})
    assert verdict(a, a, 0.05) == ("the same within a tolerance of 0.05", 0)
    assert verdict(a, b, 0.05) == ("further apart than a tolerance of 0.05, or not comparable", 1)


def test_tasks_that_change_places_are_not_the_same_within_a_tolerance(make):
    def swapped(succeeds):
        closed = closed_loop({task: [task == succeeds] * 20 for task in ("push", "pull")})
        return {"files": {"eval": evaluation("x", closed).model_dump(mode="json")}}

    content = measure(make("a", **swapped("push")), make("b", **swapped("pull")))
    assert content.success.overall.p == 1.0 and differ(content, 1e9)


def test_stages_that_were_made_with_other_packages_are_told_apart(make):
    records = {f"provenance/{stage}": RECORD for stage in ("train", "evaluate")}
    earlier = records | {"provenance/train": RECORD | {"packages": {"torch": "2.10"}}}
    content = measure(make("a", files=earlier), make("b", files=records))
    assert content.packages == [Changed(key="train: torch", a="2.10", b="2.11")] and content.code == []
    content = measure(make("c", files=records), make("d"))
    assert content.parts == [Changed(key="provenance/evaluate.json", a="there", b=None)]
    assert content.packages == content.code == []


def test_commits_between_two_results_are_those_that_touched_what_differs(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "workflow/pisft").mkdir(parents=True)

    def commit(file):
        git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org")
        (tmp_path / "workflow/pisft" / file).write_text(str(len(list(tmp_path.rglob("*.py")))) + file)
        for command in (("init", "-q"), ("add", "workflow"), ("commit", "-qm", f"Mends {file}")):
            subprocess.run([*git, *command], check=True)
        return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()

    first, _, last = (commit(file) for file in ("a.py", "unrelated.py", "b.py"))
    changed = {"provenance/train": RECORD | {"code": {"pisft/a.py": "h1", "pisft/b.py": "h2"}}}
    a, b = make("a"), make("b", files=changed)
    assert measure(a, b).commits == [], "nobody noted of which commit they are"
    for side, commit_of in ((a, first), (b, f"{last}+")):
        (side.folder / "machine").mkdir()
        (side.folder / "machine/evaluate.json").write_text(json.dumps({"commit": commit_of}))
    noted = measure(*(Side.read(side.folder, side.label) for side in (a, b)))
    assert [line.split(" ", 1)[1] for line in noted.commits] == ["Mends b.py"]
    assert Side.read(a.folder, "main:a", commit=last).commit == last, "a revision's own"


def test_on_a_gpu_that_was_not_told_to_bits_may_differ(tmp_path, monkeypatch):
    (tmp_path / "config").symlink_to(ROOT / "config")
    noted = tmp_path / Node("train", "quickstart").machine
    assert not at_random(tmp_path, "quickstart")
    noted.parent.mkdir(parents=True)
    for gpu, expected in ((None, False), ("H100", True)):
        noted.write_text(json.dumps({"gpu": gpu}))
        assert at_random(tmp_path, "quickstart") is expected
    told = resolve("quickstart", tmp_path)
    told = told.model_copy(update={"train": told.train.model_copy(update={"deterministic": True})})
    monkeypatch.setitem(at_random.__globals__, "resolve", lambda *_: told)
    assert not at_random(tmp_path, "quickstart")


def test_two_of_one_name_have_a_curve_each(make, tmp_path):
    a = make("a")
    curve = Curve(loss=[(10, 1.0), (20, 0.5)], val_loss=[(20, 0.6)])
    content = measure(a, Side.read(a.folder, "a"))
    assert content.loss == (curve, curve) and not differ(content)
    assert "Flow loss of both runs" in render(content, tmp_path / "diff.html")
    (tmp_path / "results/a/metrics.csv").write_text("step,loss,val_loss\n10,1.0,\n")
    assert "Flow loss of both runs" in render(measure(a, Side.read(a.folder, "a")), tmp_path / "diff.html")


def test_what_is_not_there_is_left_out(make, tmp_path):
    a, b = make("a", files={"eval": None, "norm_stats": None}, metrics="step,loss\n"), make("b")
    (a.folder / "checkpoint/model.safetensors").unlink()
    content = measure(Side.read(a.folder, "a"), b)
    assert content.weights is content.success is content.open_loop is None and content.norm_stats == {}
    render(content, tmp_path / "diff.html")
    with pytest.raises(PisftError, match=r"holds no config\.json; expected results/<exp>"):
        Side.read(tmp_path, "nothing")
    (a.folder / "eval.json").write_text("{half")
    with pytest.raises(PisftError, match=r"eval\.json: is not JSON"):
        Side.read(a.folder, "a")


def test_the_command_ends_as_diff_does(make, tmp_path):
    make("a"), make("b"), make("c", files={"config": CONFIG | {"train": {}}})

    def run(*arguments):
        return warm.run([ROOT / "scripts/diff.py", *arguments], tmp_path)

    same = run("a", "results/a", "--html", "out/same.html")
    assert same.returncode == 0 and same.stdout == "a → a\nno difference\n"
    assert run("a", "results/b").returncode == 0
    done = run("a", "c", "--json", "out/d.json", "--html", "out/d.html")
    assert done.returncode == 1 and "train.peak_lr: 0.001 → –" in done.stdout and "\033" not in done.stdout
    assert json.loads((tmp_path / "out/d.json").read_text())["config"] and (tmp_path / "out/d.html").is_file()
    assert run("a", "c", "--exit-zero").returncode == 0
    (tmp_path / "results/c/checkpoint/model.safetensors").write_bytes(b"half")
    half = run("a", "c")
    assert half.returncode == 2 and "model.safetensors: cannot be read as safetensors" in half.stderr
    (tmp_path / "results/c/metrics.csv").write_text("step,loss\n10,much\n")
    assert run("a", "c").returncode == 2
    missing = run("a", "nowhere")
    assert missing.returncode == 2 and "nowhere: is neither a folder nor a built experiment" in missing.stderr


def test_each_page_has_its_own_films(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make("a"), make("b")
    folders = []
    monkeypatch.setattr("pisft.diff.compare.film_flips", lambda *args: folders.append(args[2]) or ({}, None))
    for page in ("one.html", "other.html"):
        compare("a", "b", None, tmp_path / page, films=1, workers=1)
    assert len(set(folders)) == 2


def test_only_a_diff_of_two_experiments_is_an_artefact(make, tmp_path, monkeypatch):
    pair = Node("diff", "quickstart..quickstart_seeds~seed=0")
    assert node_of(pair.target) == pair and pair.provenance == f"results/diff/{pair.name}/provenance.json"
    both = [
        Node(stage, exp) for exp in pair.name.split("..") for stage in ("resolve", "norm_stats", "train", "evaluate")
    ]
    assert pair.definition.parents(subject(pair)) == both
    monkeypatch.chdir(tmp_path)
    make("a")
    for a, b, found in (("a", "results/a", "results/a"), ("main:a", "a", "main:a")):
        with pytest.raises(PisftError, match=f"{found}: is not an experiment in results/; --write expects the name"):
            write_diff(a, b, films=0, workers=1)
