#!/usr/bin/env bash
# One node of eight GPUs, from nothing to openpi's LIBERO-spatial number with its interval: π₀.₅, 30,000 steps of 256
# samples, then 500 episodes of each suite. About a day. It may be stopped and started again at any time.
#   papers/libero_openpi/run.sh            in a fresh clone; DRY_RUN=1 sets up and says what would be done
set -euo pipefail
cd "$(dirname "$0")/../.."
BASE=data/openpi/pi05_base # where config/models/pi05_base.yaml looks for it
ASSETS="$HOME/.cache/libero/assets"

need() {
  command -v "$1" >/dev/null || { echo "$1: not found on PATH; it $2" >&2; exit 1; }
}

make setup
export PATH="$PWD/.venv/bin:$PATH"
if [ -n "${DRY_RUN:-}" ]; then
  exec snakemake -n results/pi05_libero/report.html
fi

# What would be missed hours later is looked for first. The downloads fetch what is missing, also of a broken-off one.
make doctor
need nvidia-smi "comes with the NVIDIA driver, 580 or newer"
need gsutil "fetches openpi's base weights; install it with: pip install gsutil"
nvidia-smi --query-gpu=name,memory.total --format=csv,noheader
hf auth whoami || { echo "accept PaliGemma's licence on the hub, then: hf auth login" >&2; exit 1; }
hf download lerobot/libero-assets --repo-type dataset --local-dir "$ASSETS"
python tools/try_simulator.py libero

mkdir -p "$BASE"
gsutil -m rsync -r gs://openpi-assets/checkpoints/pi05_base "$BASE"

snakemake 'results/pi05_libero~smoke/eval.json' # the whole graph once, tiny, before the day begins
snakemake results/pi05_libero/report.html
python scripts/paper.py libero_openpi | grep -E 'experiment|pi05_libero .*libero_spatial'
