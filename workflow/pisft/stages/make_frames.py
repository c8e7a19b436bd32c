"""The stage that decodes one camera of a dataset once, to train from."""

from __future__ import annotations

from typing import Any, override

from pisft.names import shown, why_no_key
from pisft.stages.base import Node, Output, ProvenanceError, Stage, check_part


class MakeFrames(Stage[str]):
    """Makes a frame store. Its artefacts are named `<dataset>/frames/<camera>.<pixels>`."""

    name = "make_frames"
    outputs = (
        Output("data/{name}/index.json", "what a frame store holds; the folder is made again when missing", dvc=None),
        Output("data/{name}/pixels.u8", "its decoded images", dvc=None),
    )
    record = "data/{name}/provenance.json"
    named = "a dataset"
    pattern = "[^/]+/frames/[^/]+"
    verified_by_readers = True

    @override
    def check_name(self, name: str) -> None:
        dataset, _, view = name.split("/")
        check_part(dataset, self.named)
        if reason := why_no_key(view):
            raise ProvenanceError(f"{shown(view)} cannot name a camera's frames: {reason}")

    @override
    def parents(self, subject: str) -> list[Node]:
        return [Node("make_dataset", subject.split("/")[0])]

    @override
    def slice(self, subject: str) -> dict[str, Any]:
        camera, _, size = subject.split("/")[-1].rpartition(".")
        return {"camera": camera, "size": int(size)}
