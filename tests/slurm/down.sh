#!/usr/bin/env bash
# Ends the cluster that up.sh started, by the process ids that it wrote, and removes its folder.
set -uo pipefail
root=${PISFT_SLURM:-/tmp/pisft-slurm}
export SLURM_CONF=$root/etc/slurm.conf
timeout 5 scancel --user root >/dev/null 2>&1 && sleep 1
for file in "$root"/run/slurmd.*.pid "$root"/run/{slurmctld,slurmdbd,mariadbd,munged}.pid; do
  pid=$(cat "$file" 2>/dev/null) || continue
  kill "$pid" 2>/dev/null
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null
done
for file in slurm.conf gres.conf; do
  [ "$(readlink "/etc/slurm/$file")" = "$root/etc/$file" ] && rm "/etc/slurm/$file"
done
rm -rf "$root"
echo "slurm-down: down"
