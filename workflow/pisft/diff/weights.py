"""How far two checkpoints' weights are apart, layer by layer. Start from `changes`."""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from pisft.errors import PisftError
from pisft.records.difference import LayerChange, Reshaped, WeightChanges

LAYER = re.compile(r"^(.*?\.layers\.\d+)\.")


def changes(a: Path, b: Path) -> WeightChanges:
    """Of two .safetensors: the relative change ‖b − a‖ / ‖a‖ of each layer, largest first, and what only one has.

    A tensor at a time is in memory. Tensors of other shapes are named apart. Raises `PisftError` for a file that cannot
    be read.
    """
    with _open(a) as one, _open(b) as other:
        return _changes(one, other)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[safe_open]:
    try:
        with safe_open(path, "pt") as tensors:
            yield tensors
    except (OSError, SafetensorError) as error:
        raise PisftError(f"{path}: cannot be read as safetensors ({error}); build it again") from error


def _changes(one: safe_open, other: safe_open) -> WeightChanges:
    squares: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    counts: dict[str, int] = defaultdict(int)
    changed: dict[str, int] = defaultdict(int)
    reshaped = []
    names, others = set(one.keys()), set(other.keys())
    for name in sorted(names & others):
        x, y = one.get_tensor(name), other.get_tensor(name)
        if x.shape != y.shape:
            reshaped.append(Reshaped(name=name, a=list(x.shape), b=list(y.shape)))
            continue
        layer, x, y = layer_of(name), x.double(), y.double()
        squares[layer][0] += float((y - x).square().sum())
        squares[layer][1] += float(x.square().sum())
        counts[layer] += x.numel()
        changed[layer] += int((x != y).sum())
    rows = [
        LayerChange(
            layer=layer,
            relative_change=(difference / norm) ** 0.5 if norm else float(difference > 0),
            parameters=counts[layer],
            changed=changed[layer],
        )
        for layer, (difference, norm) in squares.items()
    ]
    return WeightChanges(
        same=not (names ^ others or reshaped or any(row.changed for row in rows)),
        layers=sorted(rows, key=lambda row: (-row.relative_change, row.layer)),
        only_a=sorted(names - others),
        only_b=sorted(others - names),
        reshaped=reshaped,
    )


def layer_of(name: str) -> str:
    """`….layers.3` for what is in a layer, else the name without its last part; without what most names begin with."""
    name = name.removeprefix("paligemma_with_expert.")
    match = LAYER.match(name)
    return match.group(1) if match else name.rpartition(".")[0] or name
