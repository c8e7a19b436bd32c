"""What a dataset says is text wherever it is shown: from the data to the pages, in a folder with a hostile name."""

from pathlib import Path

import known_robots
import numpy as np
import pytest
import yaml
from browsing import needs_browser, open_browser
from typed_project import copy_project

MARKUP = "<img src=x onerror=window.hit=1>"
SAID = f"put {MARKUP}'\"`$(touch X)` {{{{7*7}}}} &lt;b&gt; on it | *now*"
FOLDER = 'it\'s a "clone" $(touch X); of `mine` & more'
FILES = {
    "datasets/hostile": "source: local\npath: ../robot\n",
    "formats/hostile": f"""
cameras: {{base_0_rgb: top}}
state: observation.state
actions: "action {MARKUP}"
normalisation: zscore
action_horizon: 4
""",
    "models/hostile": "extends: quickstart\nmax_token_len: 100\n",
    "experiments/hostile": """
extends: quickstart
model: hostile
recipe: "<img src=x onerror=window.hit=1>"
format: hostile
datasets: [{name: hostile}]
train: {steps: 2, warmup_steps: 1, decay_steps: 2, global_batch_size: 2, validate_every: 2, save_every: 2, threads: 1}
split: {heldout_fraction: 0.25}
eval: {closed_loop: null}
published: {source: "<img src=x onerror=window.hit=1>"}
""",
    "experiments/other": "extends: hostile\ntrain: {seed: 1}\n",
}
PAGES = {
    "results/hostile/report.html": (SAID, MARKUP),
    "data/hostile/inspection.html": (SAID, MARKUP),
    "results/diff/hostile..other/diff.html": (MARKUP,),
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = copy_project(tmp_path_factory.mktemp("hostile") / FOLDER)
    for name, text in FILES.items():
        (project.root / f"config/{name}.yaml").write_text(text)
    rng = np.random.default_rng(0)
    vectors = {
        key: [np.cumsum(rng.normal(size=(30, 2)), 0) for _ in range(4)] for key in ("observation.state", "action")
    }
    key = f"action {MARKUP}"
    vectors[key] = vectors.pop("action")
    names = {"observation.state": [f"x {MARKUP}", "y"], key: [f"dx {MARKUP}", "</svg><script>window.hit=1</script>"]}
    known_robots.write(project.root.parent / "robot", vectors, names, ["top"], 10, [SAID, f"{MARKUP} again"])
    project.snakemake("-c2", *PAGES)
    project.python("tools/upload.py", "results/hostile", "--license", "mit", "--to", "uploaded")
    return project


def test_no_command_that_a_name_holds_was_run(project):
    assert not list(project.root.parent.rglob("X")) and not Path("X").exists()


@needs_browser
@pytest.mark.parametrize("page", PAGES)
def test_a_browser_shows_it_and_runs_nothing(project, page):
    with open_browser() as browser:
        browser.get((project.root / page).as_uri())
        assert browser.execute_script("return window.hit") is None
        assert not browser.execute_script("return document.querySelectorAll('[onerror], script').length")
        shown = browser.execute_script("return document.documentElement.textContent")
    for text in PAGES[page]:
        assert text in shown, text
    assert "49" not in shown.split("put ", 1)[-1].split(" on it")[0]


def test_the_card_holds_no_markup(project):
    card = (project.root / "uploaded/README.md").read_text()
    front, text = card.split("---", 2)[1:]
    assert "<img" not in text and "&lt;img src=x" in text
    rows = [line for line in text.splitlines() if line.startswith("| mean error of")]
    assert len(rows) == 2 and all(row.count("|") == 3 for row in rows)
    assert yaml.safe_load(front)["license"] == "mit"
