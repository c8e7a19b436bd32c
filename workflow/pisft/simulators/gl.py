"""Chooses the OpenGL library that MuJoCo renders with.

Start from `choose`, which must run before mujoco is imported, since mujoco reads MUJOCO_GL at import.
"""

from __future__ import annotations

import ctypes
import os

from pisft.simulators.base import SimulatorError

LIBRARIES = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8"}
INSTALL = "Install one: apt-get install libegl1 (EGL, with or without a GPU), or apt-get install libosmesa6 (software)"


def choose() -> None:
    """Set MUJOCO_GL to egl, or to osmesa if there is no EGL; a usable value that is set already stays.

    Raises `SimulatorError` if no library works.
    """
    # On images this small Mesa's threads only wait for each other; the parallelism is in the processes.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    asked = os.environ.get("MUJOCO_GL")
    if asked is None:
        found = [name for name, library in LIBRARIES.items() if loads(library)]
        if not found:
            raise SimulatorError(f"MuJoCo finds no OpenGL library to draw with without a screen. {INSTALL}")
        os.environ["MUJOCO_GL"] = found[0]
    elif asked not in LIBRARIES:
        raise SimulatorError(f"MUJOCO_GL is '{asked}'; expected egl or osmesa, or unset it")
    elif not loads(LIBRARIES[asked]):
        raise SimulatorError(f"MUJOCO_GL is '{asked}', but {LIBRARIES[asked]} is not installed. {INSTALL}")


def loads(library: str) -> bool:
    """Whether the shared library named `library` can be loaded here."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
