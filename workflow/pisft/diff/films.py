"""Videos of the episodes on which two evaluations came out differently, on both sides. Start from `film_flips`."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError

from pisft.config import read_resolved
from pisft.diff.side import Side
from pisft.errors import PisftError
from pisft.evaluate.recorded_actions import episodes
from pisft.evaluate.video import file_name, film
from pisft.records.difference import Difference

MOST = 12


def film_flips(
    content: Difference, sides: tuple[Side, Side], folder: Path, most: int, workers: int
) -> tuple[dict[tuple[int, str, int], Path], str | None]:
    """((side, task, seed) → video of the first `most` flips of each kind, why some could not be filmed).

    `content` is `pisft.diff.measure`'s. What an evaluation filmed itself is taken from there; the rest is filmed into
    `folder`/a and `folder`/b from its recorded actions.
    """
    found: dict[tuple[int, str, int], Path] = {}
    reasons = []
    flips = content.success.flips if content.success else None
    shown = [*flips.won[:most], *flips.lost[:most]] if flips else []
    for number, side in enumerate(sides):
        missing = []
        for flip in shown:
            video = flip.videos[number]
            if video is not None and (side.folder / video).is_file():
                found[number, flip.task, flip.seed] = side.folder / video
            else:
                missing.append((flip.task, flip.seed))
        if not missing:
            continue
        target = folder / "ab"[number]
        try:
            config = read_resolved(side.folder / "config.json")
            if (loop := config.eval.closed_loop) is None:
                raise PisftError(f"{side.folder}/config.json: eval.closed_loop: is null; there is nothing to film")
            actions = episodes(side.folder, missing)
            failed = film(config.simulators[loop.simulator], actions, target, workers).failed
        except (PisftError, SafetensorError) as error:
            failed = [str(error)]
        reasons += [f"{side.label}: {why}" for why in failed]
        videos = {(number, task, seed): target / file_name(task, seed) for task, seed in missing}
        found |= {episode: path for episode, path in videos.items() if path.is_file()}
    return found, "; ".join(reasons) or None
