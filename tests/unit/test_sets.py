"""Papers and sweeps: which experiments they stand for, and what their tables say."""

import csv
import io
import shutil

import pytest
import warm
import yaml
from made_up import closed_loop, evaluation, rate
from pisft.config import ConfigError, load_paper, papers, resolve, sweep_members
from pisft.errors import PisftError
from pisft.evaluate.intervals import wilson95
from pisft.provenance.graph import lineage
from pisft.provenance.pipeline import pipelines
from pisft.report.set_page import csv_text, paper_page, paper_text, sweep_text
from pisft.report.sets import paper_rows, sweep_rows
from pisft.stages import Node
from typed_project import ROOT


@pytest.fixture
def project(tmp_path):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    return tmp_path


def sweep(project, text):
    (project / "config/experiments/swept.yaml").write_text(f"extends: quickstart\nsweep: {text}\n")


def evaluated(project, name, successes, episodes=10, suites=("quickstart", "door_close", "button_press"), **closed):
    of = rate(successes, episodes)
    loop = closed_loop({"push": [True]}, overall=of, suites=dict.fromkeys(suites, of), **closed)
    evaluation(name, loop).write(project / f"results/{name}/eval.json")


def test_a_sweep_stands_for_every_combination(project):
    sweep(project, "{train.peak_lr: [1.0e-3, 5.0e-4], seed: [0, 1, 2]}")
    members = sweep_members("swept", project)
    assert len(members) == 6
    assert members["swept~peak_lr=0.0005~seed=2"] == {"train.peak_lr": 0.0005, "train.seed": 2}
    one = resolve("swept~peak_lr=0.0005~seed=2", project)
    plain = resolve("quickstart", project)
    assert (one.train.peak_lr, one.train.seed, one.name) == (0.0005, 2, "swept~peak_lr=0.0005~seed=2")
    assert one.train.model_copy(update={"peak_lr": plain.train.peak_lr, "seed": plain.train.seed}) == plain.train
    assert resolve("swept~peak_lr=0.0005~seed=2~smoke", project).train.seed == 2
    assert list(sweep_members("swept~smoke", project)) == [f"{name}~smoke" for name in members]
    assert next(iter(load_paper("quickstart~smoke", project).experiments)) == "quickstart~smoke"


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("{seed: [0, 1]}", "swept", r"is a sweep of 2 experiments; ask for results/sweeps/swept/table\.csv"),
        ("{seed: [0, 1]}", "swept~seed=7", r"sweep: has no 'swept~seed=7'; it has swept~seed=0, swept~seed=1"),
        ("{seed: 0}", "swept~seed=0", r"sweep\.seed: found 0; expected a list of values"),
        ("{seed: [0, 0]}", "swept~seed=0", r"sweep\.seed: found \[0, 0\]; expected each value once"),
        ("[seed]", "swept~seed=0", r"sweep: found \['seed'\]; expected a mapping"),
        (
            "{format: [a/b]}",
            "swept~format=a",
            r"sweep\.format: found 'a/b'; expected numbers, booleans or",
        ),
        ("{train.lr: [1.0]}", "swept~lr=1.0", r"train\.lr: unknown key; did you mean 'peak_lr'"),
    ],
)
def test_mistakes_in_a_sweep(project, text, name, message):
    sweep(project, text)
    with pytest.raises(ConfigError, match=message):
        resolve(name, project)


def test_an_experiment_of_no_sweep_has_no_members(project):
    with pytest.raises(ConfigError, match=r"quickstart\.yaml: sweep: is missing; 'quickstart~seed=1' asks for"):
        resolve("quickstart~seed=1", project)
    with pytest.raises(ConfigError, match=r"sweep: is missing; ask for results/quickstart/eval\.json"):
        sweep_members("quickstart", project)


def test_a_sweeps_table_has_an_interval_over_its_seeds_and_one_over_its_episodes(project):
    sweep(project, "{train.peak_lr: [1.0e-3, 5.0e-4], seed: [0, 1, 2]}")
    with pytest.raises(PisftError, match=r"eval\.json: is missing; run: snakemake results/sweeps/swept/table\.csv"):
        sweep_rows("swept", project)
    for name, successes in zip(sweep_members("swept", project), (7, 8, 9, 2, 2, 2), strict=True):
        evaluated(project, name, successes)
    table, runs = sweep_rows("swept", project)
    assert [row["train.peak_lr"] for row in table] == [0.001, 0.0005] and len(runs) == 6
    first, second = table
    assert first["mean"] == pytest.approx(0.8) and (first["least"], first["most"]) == (0.7, 0.9)
    # t = 4.303; a rate is no more than 1
    assert (first["low"], first["high"]) == pytest.approx((0.8 - 0.2484, 1.0), abs=1e-4)
    assert (first["successes"], first["episodes"]) == (24, 30)
    assert (first["pooled_low"], first["pooled_high"]) == wilson95(24, 30)
    assert second["mean"] == pytest.approx(0.2) and second["low"] is second["high"] is None, "no spread is no certainty"
    assert "swept~peak_lr=0.001~seed=1" in sweep_text(table, runs)
    (row, _) = csv.DictReader(io.StringIO(csv_text(table)))
    assert row["train.peak_lr"] == "0.001" and row["successes"] == "24"


def test_a_papers_table_says_what_was_not_run_yet(project):
    evaluated(project, "quickstart", 9)
    rows = {row["experiment"]: row for row in paper_rows("quickstart", project)}
    assert (rows["quickstart"]["successes"], rows["quickstart"]["episodes"]) == (9, 10)
    assert rows["quickstart_lora"]["ours"] is None and rows["quickstart_lora"]["measure"] == "door_close"
    said = paper_text(list(rows.values()))
    assert "90.0 %" in said and said.count("not yet run") == 3
    page = paper_page("quickstart", load_paper("quickstart", project), list(rows.values()))
    assert page.count("not yet run") == 3 and "9/10" in page


def test_an_evaluation_of_fewer_suites_is_not_the_papers(project):
    def rows():
        found = paper_rows("libero_fewshot", project)
        return {row["measure"]: row for row in found if row["experiment"] == "pi05_libero_fewshot"}

    suites = resolve("pi05_libero_fewshot", project).eval.closed_loop.suites
    evaluated(project, "pi05_libero_fewshot", 9, suites=suites[:1])
    assert {row["state"] for row in rows().values()} == {"not yet run"}
    evaluated(project, "pi05_libero_fewshot", 9, suites=suites)
    assert {row["state"] for row in rows().values()} == {"measured"} and rows()["mean over suites"]["ours"] == 0.9


def test_numbers_that_would_be_others_now_are_said_to_be_stale(project):
    evaluated(project, "quickstart", 9)
    for name in ("scripts", "workflow"):
        (project / name).symlink_to(ROOT / name)
    said = warm.run(["scripts/paper.py", "quickstart"], project).stdout
    assert "90.0 %" in said and "results/quickstart/eval.json: is stale: no record of what it was made from" in said
    assert said.count("is stale") == 1


def test_what_the_evaluation_does_not_measure_is_not_said_to_be_still_to_run(project):
    assert {row["state"] for row in paper_rows("maniskill_25main", project)} == {"not yet run"}
    evaluation("pi0_maniskill").write(project / "results/pi0_maniskill/eval.json")
    rows = [row for row in paper_rows("maniskill_25main", project) if row["experiment"] == "pi0_maniskill"]
    states = {row["measure"]: row["state"] for row in rows}
    assert states == {"held-out flow loss": "measured", "mean over suites": "not measured here"}
    page = paper_page("maniskill_25main", load_paper("maniskill_25main", project), rows)
    for told in (paper_text(rows), page):
        assert told.count("not measured here") == 1 and "not yet run" not in told


def test_every_source_that_reports_a_rate_has_a_row_of_its_own():
    everything = paper_rows("libero_openpi", ROOT)
    adapters = {row["source"] for row in everything if row["experiment"] == "pi0_libero_lora" and row["published"]}
    assert adapters == {"openpi, pull request 250"}
    rows = [row for row in everything if row["experiment"] == "pi0_libero"]
    spatial = {row["source"]: row["published"] for row in rows if row["measure"] == "libero_spatial"}
    assert spatial == {"openpi's, as quoted by others": 0.968, "openpi, pull request 250": 0.958}
    assert len(rows) == 2 * 4 + 1, "and one of the mean, which nobody reports"
    long = next(row for row in rows if row["measure"] == "libero_10" and row["source"] == "openpi, pull request 250")
    assert (long["published_low"], long["published_high"]) == wilson95(411, 500)
    assert "openpi, pull request 250" in paper_page("libero_openpi", load_paper("libero_openpi", ROOT), rows)


def test_a_papers_page_tells_a_length_of_chains_as_what_it_is(project):
    chains = {"average_length": 3.5, "interval95": [3.25, 3.75], "at_least": {}}
    evaluated(project, "pi05_calvin", 1, 9, suites=["calvin"], chains=chains)
    rows = paper_rows("calvin_abc_d", project)
    assert "3.25 – 3.75" in paper_text(rows)
    page = paper_page("calvin_abc_d", load_paper("calvin_abc_d", project), rows)
    assert "3.25 – 3.75" in page and ">-0.34<" in page and "350" not in page


def test_every_paper_shows_its_published_numbers_before_it_was_run():
    published = {}
    for name in papers(ROOT):
        rows = paper_rows(name, ROOT)
        published[name] = {
            (row["experiment"], row["measure"]): row["published"] for row in reversed(rows) if row["published"]
        }
        assert all(row["source"] for row in rows if row["published"])
    assert published["libero_openpi"]["pi05_libero", "libero_spatial"] == 0.988
    assert published["libero_openpi"]["pi0_libero_lora", "libero_10"] == 0.806
    assert published["libero_fewshot"] == {
        ("pi0_libero_fewshot", "mean over suites"): 0.576,
        ("pi05_libero_fewshot", "mean over suites"): 0.771,
    }
    assert published["metaworld_mt50"] == {("pi0_metaworld", "mt50"): 0.508, ("pi05_metaworld", "mt50"): 0.438}
    assert published["calvin_abc_d"]["pi05_calvin", "average length"] == 3.838
    assert published["maniskill_25main"] == {
        ("pi0_maniskill", "mean over suites"): 0.384,
        ("pi05_maniskill", "mean over suites"): 0.401,
    }
    assert published["robotwin_adjust_bottle"]["pi05_aloha_robotwin", "adjust_bottle"] == 0.8594


def test_each_artefact_belongs_to_one_stage_of_one_file():
    outs, commands = [], {}
    for path, text in pipelines(ROOT).items():
        assert (ROOT / path).read_text() == text, "run: make papers"
        for name, stage in yaml.safe_load(text)["stages"].items():
            outs += [next(iter(out)) for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
            commands[path, name] = stage["cmd"]
            assert {"uv.lock", "envs", "workflow/pisft"} <= {*stage["deps"]}, "what may make it stale"
    assert len(outs) == len(set(outs)) > 250
    assert not [out for out in outs if "machine" in out or "timing" in out], "would be another on every machine"
    for paper in papers(ROOT):
        wanted = {node.target for node in lineage(Node("paper", paper), ROOT)}
        assert wanted <= {*outs}, "what the table is made from is kept"


def test_a_paper_names_experiments_that_there_are(project):
    (project / "config/papers/mine.yaml").write_text("title: mine\nexperiments: {quickstrat: a}\n")
    with pytest.raises(ConfigError, match=r"no file .*quickstrat\.yaml; did you mean 'quickstart'"):
        paper_rows("mine", project)
    with pytest.raises(ConfigError, match=r"no file .*mind\.yaml; did you mean 'mine'"):
        paper_rows("mind", project)
