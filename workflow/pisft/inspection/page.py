"""Renders `inspection.html`: the content of a dataset and the findings, on one page that needs no network.

Start from `render(inspection, proposal)`.
"""

from __future__ import annotations

from pathlib import Path

from pisft.inspection import figures
from pisft.inspection.look import Inspection
from pisft.inspection.proposal import Proposal
from pisft.inspection.roles import image_shape, is_camera
from pisft.report.template import template

PROMPTS = 40  # listed at most


def render(seen: Inspection, proposal: Proposal) -> str:
    """Return the HTML; raises `DataError` if a camera cannot be decoded."""
    data, sample, frames = seen.data, seen.sample, seen.data.episode_lengths
    overlays = [figures.overlay(relation, sample) for relation in seen.relations]
    episodes = [int(sample.episodes[place]) for place in sample.shown]
    slots = {key: (slot, why) for slot, (key, why) in seen.roles.cameras.items()}
    cameras = [
        {
            "key": key,
            "dtype": feature["dtype"],
            "shape": image_shape(feature),
            "slot": slots[key][0] if key in slots else None,
            "why": slots[key][1] if key in slots else seen.roles.left_out[key],
            "images": figures.images(data, key, episodes) if key in seen.roles.colour else [],
        }
        for key, feature in data.features.items()
        if is_camera(feature)
    ]
    return template(Path(__file__).with_name("page.html.j2")).render(
        seen=seen,
        proposal=proposal,
        fps=f"{data.fps:g}",
        seconds=" to ".join(dict.fromkeys(f"{n / data.fps:.3g}" for n in (min(frames), max(frames)))),
        episodes=episodes,
        read={"episodes": len(sample.episodes), "frames": int(sample.ends[-1])},
        cameras=sorted(cameras, key=lambda camera: list(slots).index(camera["key"]) if camera["slot"] else len(slots)),
        vectors_left_out={k: why for k, why in seen.roles.left_out.items() if not is_camera(data.features[k])},
        prompts=seen.prompts[:PROMPTS],
        more_prompts=max(0, len(seen.prompts) - PROMPTS),
        number=_number,
        figures={
            "actions": figures.traces(seen.actions, overlays, sample, data.fps),
            "state": figures.traces(seen.state, [None] * len(seen.state), sample, data.fps),
            "actions_histograms": figures.histograms(seen.actions),
            "state_histograms": figures.histograms(seen.state),
            "lengths": figures.lengths(data.episode_lengths, data.fps),
        },
    )


def _number(x: float | None, decimals: int | None = None) -> str:
    """Format with three significant digits, or with `decimals` decimals."""
    if x is None:
        return "–"
    return (f"{x:.{decimals}f}" if decimals is not None else f"{x + 0.0:.3g}").replace("-", "−")
