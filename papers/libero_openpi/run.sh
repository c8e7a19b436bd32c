#!/usr/bin/env bash
# One node of eight GPUs, from nothing to openpi's LIBERO-spatial number with its interval: π₀.₅, 30,000 steps of 256
# samples, then 500 episodes of each suite. About a day. It may be stopped and started again at any time.
#   papers/libero_openpi/run.sh            in a fresh clone; DRY_RUN=1 only says what would be done
set -euo pipefail
cd "$(dirname "$0")/../.."
BASE=data/openpi/pi05_base

if [ -n "${DRY_RUN:-}" ]; then
  exec .venv/bin/snakemake -n results/pi05_libero/report.html
fi

make setup
export PATH="$PWD/.venv/bin:$PATH"
make doctor

nvidia-smi --query-gpu=name,memory.total --format=csv,noheader
hf auth whoami || { echo "accept PaliGemma's licence on the hub, then: hf auth login" >&2; exit 1; }
if [ ! -d "$BASE/params" ]; then
  mkdir -p data/openpi
  gsutil -m cp -r gs://openpi-assets/checkpoints/pi05_base data/openpi/
fi
if [ ! -d "$HOME/.cache/libero/assets" ]; then
  hf download lerobot/libero-assets --repo-type dataset --local-dir "$HOME/.cache/libero/assets"
fi

snakemake 'results/pi05_libero~smoke/eval.json' # the whole graph once, tiny, before the day begins
snakemake results/pi05_libero/report.html
python scripts/paper.py libero_openpi | grep -E 'experiment|pi05_libero .*libero_spatial'
