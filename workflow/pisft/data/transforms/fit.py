"""Checks that a dataset fits a format: keys, widths, lengths, frame rate. Start from `check(data, fmt)`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pisft.config.format import Source
from pisft.data.errors import DataError
from pisft.data.lerobot.camera import iter_frames
from pisft.data.lerobot.dataset import LeRobotData
from pisft.data.lerobot.frames import check_frames, check_video
from pisft.data.lerobot.vectors import BATCH
from pisft.data.transforms.format import Format, given_names


def check(data: LeRobotData, fmt: Format, episodes: Sequence[int] | None = None, widest: int | None = None) -> None:
    """Read and check everything that `fmt` uses: keys, widths, order, lengths (of `episodes`, or all), values.

    Cameras too: videos by their timestamps, images by those of one episode. Raises `DataError`; also for vectors of
    more than `widest` dims.
    """
    check_fps(data, fmt)
    if widest is not None:
        check_widths(data, fmt, widest)
    check_tables(data, fmt)
    check_delta_mask(data, fmt)
    check_lengths(data, fmt, episodes)
    check_frames(data)
    for camera_key in fmt.config.cameras.values():
        if data.feature(camera_key)["dtype"] == "video":
            check_video(data, camera_key)
        else:
            next(iter_frames(data, camera_key, [0]))
    vectors = data.vectors(fmt.vector_keys)
    for start in range(0, data.num_frames, BATCH):
        vectors.rows(start, min(start + BATCH, data.num_frames))
    widths = {key: np.ones((1, data.vector_width(key)), np.float32) for key in fmt.vector_keys}
    fmt.to_relative(fmt.absolute_actions(widths), fmt.state(widths)[0])
    for task in data.used_tasks:
        fmt.prompt(task)


def check_lengths(data: LeRobotData, fmt: Format, episodes: Sequence[int] | None = None) -> None:
    """Raise `DataError` if a selected episode is shorter than a chunk and the format does not say how to fill it."""
    if fmt.config.short_episodes == "repeat":
        return
    chosen = np.arange(data.num_episodes) if episodes is None else np.asarray(sorted(episodes))
    short = chosen[data.episode_lengths[chosen] < fmt.action_horizon]
    if len(short):
        others = f" (and {len(short) - 1} more)" if len(short) > 1 else ""
        raise DataError(
            f"{data.root}: episode {short[0]} has {data.episode_lengths[short[0]]} frames, fewer than the format's "
            f"action_horizon, {fmt.action_horizon}{others}. Say `short_episodes: repeat` in the "
            "format to fill their chunks with the last action, as openpi does unasked, leave them out "
            f"(episodes: [{', '.join(_ranges(np.setdiff1d(chosen, short)))}]), or shorten the horizon"
        )


def check_widths(data: LeRobotData, fmt: Format, widest: int) -> None:
    """Raise `DataError` if the encoded state or actions have more than the model's `widest` dims."""
    for name, names in (("state", fmt.state_names(data.features)), ("actions", fmt.action_names(data.features))):
        if len(names) > widest:
            keys = ", ".join(f"'{source.key}'" for source in getattr(fmt.config, name))
            raise DataError(
                f"{data.root}/meta/info.json: {name} ({keys}) has {len(names)} dims; the model's action_dim is "
                f"{widest}: choose dims in the format (`{name}: {{key: …, dims: [first, end]}}`)"
            )


def check_tables(data: LeRobotData, fmt: Format) -> None:
    """Raise `DataError` for a feature of several axes, such as (arms, joints), without `flatten` in the format."""
    for source in [*fmt.config.state, *fmt.config.actions]:
        width, shape = data.vector_width(source.key), data.feature(source.key)["shape"]
        if len(shape) > 1 and not source.flatten:
            raise DataError(
                f"{data.root}/meta/info.json: '{source.key}' is a table, {shape}; the model takes a vector. Where its "
                f"{width} numbers are one action or state, say `{{key: {source.key}, flatten: true}}` in "
                "the format"
            )


def check_delta_mask(data: LeRobotData, fmt: Format) -> None:
    """Raise `DataError` unless the delta mask covers all action dims and relative dims have the state's names."""
    mask = fmt.config.delta_mask
    if not mask:
        return
    actions = [name for name in fmt.action_names(data.features) if not name.startswith("padding_")]
    covered = sum(map(abs, mask))
    if covered != len(actions):
        raise DataError(
            f"{data.root}/meta/info.json: actions has {len(actions)} dims ({', '.join(actions)}); the format's "
            f"delta_mask {mask} is of {covered}: say of each dim whether it is relative to the state (a count above 0) "
            "or as it is (below 0)"
        )
    state, names = (_names(data, getattr(fmt.config, part)) for part in ("state", "actions"))
    if state is None or names is None:
        return
    for dim in fmt.relative_dims:
        if (
            dim < min(len(names), len(state))
            and names[dim] != state[dim]
            and names[dim] in state
            and state[dim] in names
        ):
            raise DataError(
                f"{data.root}/meta/info.json: dim {dim} of actions is {names[dim]}, of the state {state[dim]}, and the "
                f"format makes it relative. State: {', '.join(state)}; actions: {', '.join(names)}. Bring them into "
                "one order by `dims` in the format, or take the dims out of delta_mask"
            )


def _names(data: LeRobotData, sources: Sequence[Source]) -> list[str] | None:
    """Return the names that info.json gives the dims of `sources`, concatenated; None unless it names them all."""
    found: list[str] = []
    for source in sources:
        names = given_names(data.feature(source.key))
        if names is None or source.rotation:
            return None
        found += names[slice(*source.dims)] if source.dims else names
    return found


def check_together(datasets: Sequence[LeRobotData], fmt: Format) -> None:
    """Raise `DataError` unless datasets to be mixed agree in frame rate and in the dims of state and actions."""
    first = datasets[0]
    for data in datasets[1:]:
        if data.fps != first.fps:
            raise DataError(
                f"datasets: {first.root} has {first.fps:g} frames/s and {data.root} {data.fps:g}: a chunk of "
                f"{fmt.action_horizon} actions would last two times; resample one, or train on them one by one"
            )
        for name, names in (("state", fmt.state_names), ("actions", fmt.action_names)):
            own, other = (_names(each, getattr(fmt.config, name)) for each in (data, first))
            if own and other and own != other and sorted(own) == sorted(other):
                raise DataError(
                    f"datasets: {name} has the same dims in another order: {', '.join(other)} in {first.root}, "
                    f"{', '.join(own)} in {data.root}; convert one of them, or give each format its `dims`"
                )
            dims = len(names(first.features)), len(names(data.features))
            if dims[0] != dims[1]:
                raise DataError(
                    f"datasets: {name} has {dims[0]} dims in {first.root} and {dims[1]} in {data.root}; datasets "
                    "that are mixed share their format"
                )


def check_fps(data: LeRobotData, fmt: Format) -> None:
    """Raise `DataError` unless the dataset has the frame rate that the format is for."""
    if fmt.config.fps is not None and fmt.config.fps != data.fps:
        raise DataError(
            f"{data.root}/meta/info.json: fps is {data.fps:g}; the format is for {fmt.config.fps:g}: a chunk of "
            f"{fmt.action_horizon} actions would span another time. Change fps in the format if that is intended"
        )


def _ranges(numbers: np.ndarray) -> list[str]:
    """Write numbers as ranges, as `episodes` are written: [0, 1, 2, 5] as ["0-2", "5"]."""
    if not len(numbers):
        return []
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return [f'"{part[0]}-{part[-1]}"' if len(part) > 1 else f'"{part[0]}"' for part in parts]
