#!/usr/bin/env bash
# node.sh <root> <name>: starts the node's slurmd, with a host name and mounts of its own.
set -euo pipefail
root=$1 name=$2
exec unshare --mount --uts --propagation private bash -c '
  hostname "$2"
  mount --bind "$1/etc/hosts" /etc/hosts
  mount --bind "$1/etc" /etc/slurm
  exec slurmd -N "$2"' node "$root" "$name"
