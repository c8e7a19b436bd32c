# make demo: set up, then record, train, evaluate and report the quickstart.   make test: the tests.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
SPELLED := *.md docs workflow scripts tools benchmarks tests rules config Snakefile
.PHONY: setup demo doctor test test-slow test-slurm test-long slurm-up slurm-down lint schema bench-demo bench-arithmetic bench-draws bench-eval bench-finetune bench-gpu bench-maniskill bench-serve bench-save bench-slurm bench-start bench-success bench-train bench-data papers remote verify verify-paper

setup:
	@envs/setup.sh

demo: setup
	snakemake results/quickstart/report.html
	@echo "open results/quickstart/report.html"
	@python tools/verify.py results/quickstart

test: setup
	pytest -n 2 --dist loadfile -m "not slow and not slurm" tests

test-slow: setup
	pytest -n 2 --dist loadfile -m "slow and not long" tests

slurm-up: setup
	@tests/slurm/up.sh

slurm-down:
	@tests/slurm/down.sh

# Where a test fails, the cluster stays up to be looked at.
test-slurm: setup
	@tests/slurm/up.sh || [ $$? = 77 ]
	pytest -m "slurm and not long" -rs tests/slurm
	@tests/slurm/down.sh

# What those leave out: every recipe, every simulator's experts, every way that a cluster fails. Before a release.
test-long: setup
	pytest -n 2 --dist loadfile -m "long and not slurm" tests
	@tests/slurm/up.sh || [ $$? = 77 ]
	pytest -m "long and slurm" -rs tests/slurm
	@tests/slurm/down.sh

lint: setup
	ruff check . && ruff format --check . && snakefmt --check Snakefile rules
	hadolint envs/Dockerfile
	codespell $(SPELLED)
	lint-imports --no-logo --no-cache
	basedpyright --level error
	python tools/schema.py --check
	python tools/pipelines.py --check
	pytest -q tests/workflow/test_workflow.py -k lint

schema: setup
	python tools/schema.py

papers: setup
	python tools/pipelines.py

# Bytes of all that is here against their records; with EXP=<exp>, that experiment built again in a fresh clone.
verify: setup
	python $(if $(EXP),tools/rebuild.py $(EXP),tools/verify.py)

verify-paper: setup
	python tools/verify_paper.py $(PAPER)

# How to add a remote for data and results; with URL=…, add it.
remote: setup
	@python tools/remote.py $(URL)

doctor: setup
	python tools/doctor.py

# Times are those of the libraries as they are, on every side.
bench-data bench-draws bench-eval bench-save bench-serve bench-train: export PISFT_ARITHMETIC := native

bench-arithmetic: setup
	python benchmarks/bench_arithmetic.py

bench-data: setup
	python benchmarks/bench_data.py norm-stats
	python benchmarks/bench_data.py verify
	python benchmarks/bench_loading.py

bench-demo: setup
	python benchmarks/bench_demo.py

bench-draws: setup
	python benchmarks/bench_draws.py

bench-eval: setup
	snakemake results/button_press/checkpoint.json
	python benchmarks/bench_eval.py

bench-serve: setup
	snakemake results/button_press/checkpoint.json
	python benchmarks/bench_serve.py

bench-finetune: setup
	python benchmarks/bench_finetune.py

bench-gpu: setup
	python benchmarks/bench_gpu.py

bench-maniskill: setup
	python benchmarks/bench_maniskill.py

bench-train: setup
	python benchmarks/bench_train.py
	python benchmarks/bench_train.py --cameras 1 --compile

bench-save: setup
	python benchmarks/bench_save.py

bench-slurm: setup
	python benchmarks/bench_slurm.py

bench-start: setup
	python benchmarks/bench_start.py

bench-success: setup
	python benchmarks/bench_success.py
