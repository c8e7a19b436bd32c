#!/usr/bin/env bash
# Set up all that the project needs: uv, the locked environment in .venv, and a GL library to render with.
# Quick when everything is there; what it may not install, it names in one line.
set -euo pipefail
cd "$(dirname "$0")/.."

export PATH="$PWD/.uv/bin:$PATH"
# Behind a proxy or a mirror it is the system's certificates that count, not uv's own; older ones know the other name.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then export UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1; fi
if ! uv --version >/dev/null 2>&1; then
  if ! { python3 -m venv .uv && .uv/bin/python -m pip install --quiet --disable-pip-version-check uv; }; then
    echo "uv is missing and could not be installed with python3 -m venv and pip; see docs/install.md" >&2
    exit 1
  fi
fi

# Byte code is compiled here once: otherwise every start of Snakemake pays for it where it may not be written.
if [ ! -e .venv/.complete ] || [ uv.lock -nt .venv/.complete ] || [ pyproject.toml -nt .venv/.complete ]; then
  uv sync --locked --compile-bytecode
  touch .venv/.complete
fi

if ! PATH="$PATH:/usr/sbin:/sbin" ldconfig -p | grep -qE 'libEGL\.so\.1|libOSMesa\.so'; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq libegl1 libgl1-mesa-dri >/dev/null
  else
    echo "no GL library to render with; install one: sudo apt-get install libegl1 libgl1-mesa-dri" >&2
    exit 1
  fi
fi
