"""What goes over the wire: openpi's msgpack with NumPy arrays. Start from `pack` and `unpack`.

An array is a mapping of __ndarray__, data, dtype and shape; a NumPy number one of __npgeneric__, data and dtype.
Nothing else than plain values is packed or accepted, whatever a sender claims. Needs NumPy and msgpack alone, since
simulators and robots import it too.
"""

from __future__ import annotations

import math
from typing import Any

import msgpack
import numpy as np

KINDS = "biuf"  # booleans, integers and floats: their bytes are their values
ARRAY, NUMBER = b"__ndarray__", b"__npgeneric__"


class WireError(ValueError):
    """A message that is none."""


def pack(content: Any) -> bytes:
    """Bytes of plain values and NumPy arrays; raises `WireError` for arrays of other things than numbers."""
    return msgpack.packb(content, default=_encode)


def unpack(message: bytes) -> Any:
    """The inverse. Arrays share the message's memory and are read-only. Raises `WireError`."""
    try:
        return msgpack.unpackb(message, object_hook=_decode, strict_map_key=False)
    except WireError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError, msgpack.UnpackException) as error:
        raise WireError(f"the message is not msgpack: {str(error) or type(error).__name__}") from error


def _encode(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind not in KINDS:
        raise WireError(f"an array's dtype is {value.dtype}; expected numbers")
    if isinstance(value, np.ndarray):
        return {ARRAY: True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    if isinstance(value, np.generic):
        return {NUMBER: True, b"data": value.item(), b"dtype": value.dtype.str}
    raise WireError(f"found a {type(value).__name__}; expected plain values and arrays")


def _decode(value: dict) -> Any:
    if ARRAY in value:
        dtype, shape, data = _dtype(value), value.get(b"shape"), value.get(b"data")
        if not isinstance(shape, (list, tuple)) or not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 8:
            raise WireError(f"an array's shape is {shape!r}; expected a list of lengths")
        if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
            raise WireError(f"an array's data does not fit its shape {list(shape)} of {dtype}")
        return np.frombuffer(data, dtype).reshape(shape)
    if NUMBER in value:
        number = value.get(b"data")
        if not isinstance(number, (bool, int, float)):
            raise WireError(f"a number is {number!r}")
        return _dtype(value).type(number)
    return value


def _dtype(value: dict) -> np.dtype:
    name = value.get(b"dtype")
    name = name.decode("ascii", "replace") if isinstance(name, bytes) else name
    if not isinstance(name, str) or len(name) > 8:
        raise WireError(f"an array's dtype is {name!r}; expected a name such as <f4")
    try:
        dtype = np.dtype(name)
    except (TypeError, ValueError) as error:
        raise WireError(f"an array's dtype is {name!r}; expected a name such as <f4") from error
    if dtype.kind not in KINDS:
        raise WireError(f"an array's dtype is {name!r}; expected numbers")
    return dtype
