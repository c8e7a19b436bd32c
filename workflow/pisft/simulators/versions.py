"""The versions of the packages that a simulator's episodes depend on, without importing it. Start from `versions`."""

from __future__ import annotations

import tomllib
from importlib.metadata import distributions, version

from pisft import environments
from pisft.config.simulators import SimulatorConfig


def versions(config: SimulatorConfig) -> dict[str, str]:
    """Return package → version: as installed in the project's own environment, or as locked in another.

    In an environment without a lock file, as installed there; `absent` if it is not.
    """
    if config.environment is None:
        return {name: version(name) for name in config.packages}
    folder = environments.ROOT / "envs" / config.environment
    if (folder / "uv.lock").is_file():
        found = tomllib.loads((folder / "uv.lock").read_text())["package"]
        known = {package["name"]: package.get("version", "") for package in found}
    else:
        places = [str(path) for path in folder.glob(".venv/lib/python*/site-packages")]
        known = {d.name.lower().replace("_", "-"): d.version for d in distributions(path=places)} if places else {}
    return {name: known.get(name, "absent") for name in config.packages}
