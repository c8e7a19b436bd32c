"""Reads a video's frames by timestamp: start from `Video(path, fps).frames(timestamps)`.

Uses PyAV alone, so that the pixels are the same on every machine (and equal those of lerobot's `pyav` backend).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import av.container
import av.error
import numpy as np

from pisft.data.errors import DataError

# Decoding starts this many frames early: demuxers seek by decoding time, which precedes presentation time by the
# codec's reordering (at most 16 frames in H.264 and HEVC).
REORDERED = 16


class MissingFrame(DataError):
    """The video has no frame at a timestamp; `position` is its index among the requested timestamps."""

    def __init__(self, path: Path, timestamp: float, position: int = 0):
        super().__init__(
            f"{path}: no frame at {timestamp:.4f} s; the video has fewer frames than its episodes, or another frame "
            "rate: fetch or record it again"
        )
        self.position = position


class Video:
    """One open file. Not thread-safe."""

    def __init__(self, path: Path, fps: float):
        self.path, self.fps = path, fps
        try:
            self._container = av.open(str(path))
            self._stream = _stream(path, self._container)
        except (av.error.FFmpegError, IndexError) as error:
            raise _unreadable(path, error) from error
        self._stream.codec_context.thread_count = 1  # callers decode many files in threads of their own
        self._frames: Iterator[av.VideoFrame] | None = None
        self._position = 0.0

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def frames(self, timestamps: Iterable[float]) -> Iterator[np.ndarray]:
        """Yield the frame at each of ascending timestamps (s), uint8 (H, W, 3); nearby timestamps share one pass.

        Raises `DataError` if no frame is within a quarter of a frame's duration, or the file cannot be decoded.
        """
        for timestamp in timestamps:
            try:
                yield self._at(float(timestamp))
            except av.error.FFmpegError as error:
                raise _unreadable(self.path, error) from error

    def _at(self, timestamp: float) -> np.ndarray:
        tolerance = 0.25 / self.fps
        if self._frames is None or not 0 < timestamp - self._position <= (REORDERED + 1) / self.fps:
            start = max(0.0, timestamp - REORDERED / self.fps)
            self._container.seek(
                int(start / cast(Fraction, self._stream.time_base)), stream=self._stream, backward=True
            )
            self._frames = self._container.decode(self._stream)
        for frame in self._frames:
            if frame.time is None or frame.time < timestamp - tolerance:
                continue
            if frame.time > timestamp + tolerance:
                break
            self._position = timestamp
            return frame.to_ndarray(format="rgb24")
        self._frames = None
        raise MissingFrame(self.path, timestamp)


@dataclass(frozen=True)
class Contents:
    """A file's presentation times (s, ascending), stated frame rate, and encoding.

    Streams of equal `encoding` can be joined without encoding them again.
    """

    times: np.ndarray
    rate: float | None
    encoding: tuple[Any, ...]


def contents(path: Path) -> Contents:
    """Read the file's packets without decoding; raises `DataError`, also if it holds no frame."""
    try:
        with closing(av.open(str(path))) as container:
            stream = _stream(path, container)
            rate, codec = stream.average_rate, stream.codec_context
            encoding = (codec.name, codec.width, codec.height, codec.pix_fmt, codec.extradata)
            packets = [p for p in container.demux(stream) if p.pts is not None and p.size and not p.is_corrupt]
            times = np.sort([float(cast(int, p.pts) * cast(Fraction, p.time_base)) for p in packets])
    except (av.error.FFmpegError, IndexError) as error:
        raise _unreadable(path, error) from error
    if not len(times):
        raise DataError(f"{path}: holds no frame; fetch or record this video again")
    return Contents(times, None if rate is None else float(rate), encoding)


def check(path: Path, timestamps: np.ndarray, fps: float, found: Contents | None = None) -> None:
    """Raise `DataError` unless the file, with contents `found`, has the frame rate and a packet at every timestamp."""
    found = found or contents(path)
    if found.rate is not None and abs(found.rate - fps) > 0.05 * fps:
        raise DataError(
            f"{path}: has {found.rate:g} frames/s; meta/info.json says {fps:g}: fix fps, leave the episode out, or "
            f"encode it again at {fps:g} frames/s"
        )
    following = np.append(found.times, np.inf)[np.searchsorted(found.times, timestamps - 0.25 / fps)]
    if (missing := following > timestamps + 0.25 / fps).any():
        raise MissingFrame(path, timestamps[missing.argmax()], int(missing.argmax()))


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: cannot be decoded ({error}); fetch or record this video again")


def _stream(path: Path, container: av.container.InputContainer) -> av.VideoStream:
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise DataError(
            f"{path}: its codec is unknown to FFmpeg; encode it again (H.264, HEVC or AV1), or fetch it again"
        )
    return stream
