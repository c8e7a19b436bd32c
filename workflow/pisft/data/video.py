"""Pixels out of a video file by timestamp, forwards only: start from `decode`. PyAV alone, so that the pixels
are the same on every machine (and those of lerobot's `pyav` backend).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np

from pisft.data.errors import DataError

# Decoding starts this many frames early: demuxers seek by decoding time, which reordering (at most
# 16 frames in H.264 and HEVC) puts before the time at which a frame is shown.
REORDERED = 16


def decode(path: Path, wanted: Iterable[np.ndarray], fps: float) -> Iterator[np.ndarray]:
    """For each array of ascending timestamps (s) in `wanted`, its frames as uint8 (n, H, W, 3).

    Arrays that follow each other in the file are decoded in one go. A timestamp without a frame within a
    quarter of a frame's time, or a file that cannot be decoded, is a `DataError`.
    """
    tolerance = 0.25 / fps
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            frames, position = None, 0.0
            for timestamps in wanted:
                first = float(timestamps[0])
                if frames is None or not 0 <= first - position <= REORDERED / fps:
                    start = max(0.0, first - REORDERED / fps)
                    container.seek(int(start / stream.time_base), stream=stream, backward=True)
                    frames = container.decode(stream)
                yield _collect(path, frames, timestamps, tolerance)
                position = float(timestamps[-1])
    except (av.FFmpegError, IndexError) as error:
        raise DataError(f"{path}: cannot be decoded ({error}); fetch or record this video again") from error


def check(path: Path, timestamps: np.ndarray, fps: float) -> None:
    """Raise a `DataError` unless the file holds a packet for every timestamp; reads it, decodes nothing."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            packets = [p for p in container.demux(stream) if p.pts is not None and p.size and not p.is_corrupt]
            shown = np.sort([float(p.pts * p.time_base) for p in packets])
    except (av.FFmpegError, IndexError) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch or record this video again") from error
    if not len(shown):
        raise DataError(f"{path}: holds no frame; fetch or record this video again")
    following = np.append(shown, np.inf)[np.searchsorted(shown, timestamps - 0.25 / fps)]
    if (missing := following > timestamps + 0.25 / fps).any():
        raise _missing(path, timestamps[missing.argmax()], shown[-1])


def _collect(path: Path, frames: Iterator[av.VideoFrame], timestamps: np.ndarray, tolerance: float) -> np.ndarray:
    found: list[np.ndarray] = []
    shown = 0.0
    for frame in frames:
        if frame.time is None:
            continue
        shown = frame.time
        if shown < timestamps[len(found)] - tolerance:
            continue
        if shown > timestamps[len(found)] + tolerance:
            break
        found.append(frame.to_ndarray(format="rgb24"))
        if len(found) == len(timestamps):
            return np.stack(found)
    raise _missing(path, timestamps[len(found)], shown)


def _missing(path: Path, timestamp: float, last: float) -> DataError:
    return DataError(
        f"{path}: no frame at {timestamp:.4f} s (the last one seen is at {last:.4f} s); the video has fewer "
        "frames than its episodes, or another frame rate: fetch or record it again"
    )
