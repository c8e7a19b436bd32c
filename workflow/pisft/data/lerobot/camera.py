"""Reads one camera of a dataset, image by image, from video or image columns: start from `open_camera(data, key)`."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pisft.data.errors import DataError
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.lerobot.image import ImageError, decode
from pisft.data.lerobot.video import Video

OPEN = 4  # video files, or row groups of images, cached per camera


def open_camera(data: LeRobotData, key: str) -> Camera:
    """Return a reader of one camera's images, for one thread; raises `DataError` for a key that is no colour camera."""
    feature = data.feature(key)
    if feature["dtype"] not in ("video", "image"):
        raise DataError(f"{data.root}/meta/info.json: '{key}' is {feature['dtype']}; expected video or image")
    told = feature.get("info")
    if isinstance(told, dict) and (told.get("video.is_depth_map") or told.get("is_depth_map")):
        raise DataError(
            f"{data.root}/meta/info.json: '{key}' is a depth map; a policy sees colours: choose another camera"
        )
    if feature["dtype"] == "video":
        data.check_pieces(key)
    return Camera(data, key)


def iter_frames(data: LeRobotData, camera_key: str, episodes: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (episode, images as uint8 (n, H, W, 3)) in ascending order; each episode is decoded once."""
    ordered = sorted(episodes)
    shown = iter_images(data, camera_key, ordered)
    for episode in ordered:
        yield episode, np.stack(list(itertools.islice(shown, int(data.episode_lengths[episode]))))


def iter_images(data: LeRobotData, camera_key: str, episodes: Iterable[int]) -> Iterator[np.ndarray]:
    """Yield the images of `episodes`, which ascend, one by one, uint8 (H, W, 3)."""
    rows = (row for episode in episodes for row in data.rows(episode))
    return (image for _, image in open_camera(data, camera_key).read(rows))


class Camera:
    """Reads frames in any order; ascending rows need one pass over the files. Not thread-safe."""

    def __init__(self, data: LeRobotData, key: str):
        self.data, self.key = data, key
        self._is_video = data.features[key]["dtype"] == "video"
        # one-channel (grey) images are returned with three channels
        self._shape = sorted(3 if size == 1 else size for size in data.features[key]["shape"])
        self._at_hand: OrderedDict[Any, Any] = OrderedDict()

    def read(self, rows: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (row, image) for dataset-wide frame numbers `rows`."""
        for row in rows:
            yield row, self.image(row)

    def image(self, row: int) -> np.ndarray:
        """Return the frame with dataset-wide number `row`, uint8 (H, W, 3); raises `DataError`."""
        image = self._from_video(row) if self._is_video else self._from_parquet(row)
        if sorted(image.shape) != self._shape:
            raise DataError(
                f"{self.data.root}: '{self.key}' of {self._place(row)} is {image.shape}; meta/info.json says "
                f"{tuple(self.data.features[self.key]['shape'])}"
            )
        return image

    def close(self) -> None:
        """Close the open files."""
        for item in self._at_hand.values():
            if isinstance(item, Video):
                item.close()
        self._at_hand.clear()

    def _from_video(self, row: int) -> np.ndarray:
        path, timestamp = self.data.video_frame(self.key, row)
        video = self._cached(path, lambda: Video(path, self.data.fps))
        try:
            return next(video.frames([timestamp]))
        except DataError as error:
            raise DataError(f"'{self.key}' of {self._place(row)}: {error}") from error

    def _from_parquet(self, row: int) -> np.ndarray:
        path, inside = self.data.data_file(row)
        try:
            file = self._cached(path, lambda: pq.ParquetFile(path))
            group = 0
            while inside >= (size := file.metadata.row_group(group).num_rows):
                inside, group = inside - size, group + 1
            column = self._cached((path, group), lambda: file.read_row_group(group, columns=[self.key])[self.key])
            content = column[inside].as_py()
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"{path}: cannot be read ({' '.join(str(error).split())}); fetch the dataset again"
            ) from error
        try:
            return decode(content, self.data.root)
        except ImageError as error:
            raise DataError(f"{path}: '{self.key}' of {self._place(row)}: {error}") from error

    def _place(self, row: int) -> str:
        episode, frame = self.data.place(row)
        return f"episode {episode}, frame {frame}"

    def _cached(self, name: Any, make: Any) -> Any:
        if name in self._at_hand:
            self._at_hand.move_to_end(name)
            return self._at_hand[name]
        item = self._at_hand[name] = make()
        while len(self._at_hand) > OPEN:
            _, dropped = self._at_hand.popitem(last=False)
            if isinstance(dropped, Video):
                dropped.close()
        return item
