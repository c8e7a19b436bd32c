"""One bit is flipped in each kind of file: whoever would read it next says so, and makes nothing of it."""

import shutil

import pytest

EXP = "quickstart~smoke"
RUN = f"results/{EXP}"
CONFIG = f"{RUN}/config.json"
READ = {
    # kind of file: the next one to read it
    "data/{data}/manifest.json": ["norm_stats.py", CONFIG],
    "data/{data}/lerobot/meta/info.json": ["norm_stats.py", CONFIG],
    "data/{data}/lerobot/data/*/*.parquet": ["norm_stats.py", CONFIG],
    "data/{data}/lerobot/videos/*/*/*.mp4": ["norm_stats.py", CONFIG],
    "data/{data}/provenance.json": ["norm_stats.py", CONFIG],
    "data/{data}/frames/*/index.json": ["train.py", CONFIG],
    CONFIG: ["norm_stats.py", CONFIG],
    f"{RUN}/provenance/resolve.json": ["norm_stats.py", CONFIG],
    f"{RUN}/norm_stats.json": ["train.py", CONFIG],
    f"{RUN}/norm_stats.report.png": ["train.py", CONFIG],
    f"{RUN}/checkpoint.json": ["evaluate.py", CONFIG],
    f"{RUN}/checkpoint/model.safetensors": ["evaluate.py", CONFIG],
    f"{RUN}/checkpoint/norm_stats.json": ["evaluate.py", CONFIG],
    f"{RUN}/checkpoint/format.json": ["export_lerobot.py", CONFIG],
    f"{RUN}/checkpoint/model.json": ["serve.py", f"{RUN}/checkpoint", "--port", "0"],
    f"{RUN}/metrics.csv": ["report.py", CONFIG],
    f"{RUN}/eval.json": ["report.py", CONFIG],
    f"{RUN}/traces.json": ["report.py", CONFIG],
    f"{RUN}/rollouts.safetensors": ["report.py", CONFIG],
    f"{RUN}/provenance/evaluate.json": ["report.py", CONFIG],
    f"{RUN}/report.html": ["verify.py"],
}


def flip(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_flipped_bit_stops_whoever_reads_it(bare_project):
    project = bare_project
    project.snakemake("-c2", f"{RUN}/report.html")
    data = next(path.parent.name for path in project.root.glob("data/*/manifest.json"))
    assert "lerobot" in {path.name for path in (project.root / "data" / data).iterdir()}
    unnoticed = []
    for kind, command in READ.items():
        found = sorted(project.root.glob(kind.format(data=data)))
        if not found and "videos" in kind:
            continue
        path = found[0]
        shutil.copy2(path, project.root / "whole")
        flip(path)
        folder = "scripts" if (project.root / "scripts" / command[0]).is_file() else "tools"
        done = project.python(f"{folder}/{command[0]}", *command[1:], check=False)
        told = done.stdout + done.stderr
        if done.returncode != 1 or "Traceback" in told or path.relative_to(project.root).as_posix() not in told:
            unnoticed.append(f"{kind}: {command[0]} ended with {done.returncode}: {told[-400:]}")
        shutil.copy2(project.root / "whole", path)
    assert not unnoticed, "\n".join(unnoticed)
    assert project.plan(f"{RUN}/report.html") == set(), "nothing was made of what was damaged, and all is as it was"

    pixels = next(project.root.glob(f"data/{data}/frames/*/pixels.u8"))
    shutil.rmtree(project.root / f"{RUN}/checkpoint")
    shutil.rmtree(project.root / f"{RUN}/train_state")
    flip(pixels)
    done = project.python("scripts/train.py", CONFIG, check=False)
    assert done.returncode == 1 and f"{pixels}: is damaged: its sha256" in done.stderr, done.stderr
    assert not list(project.root.glob(f"{RUN}/train_state/*/step_*"))
