"""Profiles chosen steps, for chrome://tracing or Perfetto. Start from `Trace`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from torch.profiler import ProfilerActivity, profile

from pisft.train.distribution.world import World


class Trace:
    """Profiles the steps `window` = (first, end), from 0, and writes `folder`/steps_<first>-<end>.rank<n>.json."""

    def __init__(self, window: tuple[int, int] | None, folder: Path, world: World):
        self.window, self.folder, self.world = window, folder, world
        self.profiler: profile | None = None

    @contextlib.contextmanager
    def step(self, step: int) -> Iterator[None]:
        """Wrap one training step; does nothing outside the window."""
        if self.window is not None and self.window[0] <= step < self.window[1] and self.profiler is None:
            gpu = [ProfilerActivity.CUDA] if self.world.device.type == "cuda" else []
            self.profiler = profile(activities=[ProfilerActivity.CPU, *gpu])
            self.profiler.start()
            self.first = step
        yield
        if self.profiler is not None and self.window is not None and step + 1 == self.window[1]:
            self.profiler.stop()
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"steps_{self.first}-{step + 1}.rank{self.world.rank}.json"
            self.profiler.export_chrome_trace(str(self.folder / name))
            self.profiler = None
