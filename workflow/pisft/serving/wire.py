"""The wire format: openpi's msgpack with NumPy arrays. Start from `pack` and `unpack`.

An array is a mapping of __ndarray__, data, dtype and shape; a NumPy number one of __npgeneric__, data and dtype. Only
plain values are packed or accepted, at most `MOST_VALUES` of them, whatever a sender claims: a message needs little
more memory than its bytes. Needs only NumPy and msgpack, since simulators and robots import it too.
"""

from __future__ import annotations

import math
import re
import reprlib
from typing import Any, cast

import msgpack
import numpy as np

DTYPES = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")  # booleans, integers and floats, whose bytes are their values
ARRAY, NUMBER = b"__ndarray__", b"__npgeneric__"

MOST_VALUES = 2**17  # in a message; an array and its key are 13, so this is 500 observations of 20 arrays
DEEPEST = 32  # nested lists and mappings; a group of observations has five
LONGEST_KEY = 256  # characters
MAPPINGS = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))  # first bytes, by msgpack's specification
LISTS = frozenset((*range(0x90, 0xA0), 0xDC, 0xDD))


class WireError(ValueError):
    """The message is not valid."""


def pack(content: Any) -> bytes:
    """Encode plain values and NumPy arrays; raises `WireError` for arrays of anything but numbers."""
    return cast(bytes, msgpack.packb(content, default=_encode))


def unpack(message: bytes) -> Any:
    """Decode a message. Arrays share no memory with it and are read-only. Raises `WireError`."""
    try:
        return _Reader(message).whole()
    except WireError:
        raise
    except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
        raise WireError(f"the message is not msgpack: {str(error) or type(error).__name__}") from error


class _Reader:
    """Reads one message value by value.

    msgpack would build the whole message before any check: lists of lists take seventy times their bytes. It also
    interns the keys of mappings, which some versions of Python never free.
    """

    def __init__(self, message: bytes):
        self._message, self._left = message, MOST_VALUES
        self._unpacker = msgpack.Unpacker(max_buffer_size=len(message))
        self._unpacker.feed(message)

    def whole(self) -> Any:
        value = self._value(0)
        if surplus := len(self._message) - self._unpacker.tell():
            raise WireError(f"the message is not msgpack: {surplus} bytes follow its value")
        return value

    def _value(self, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise WireError(f"the message holds more than {MOST_VALUES} values; expected numbers in arrays")
        if depth > DEEPEST:
            raise WireError(f"the message's lists and mappings are nested deeper than {DEEPEST}")
        first = self._message[self._unpacker.tell()]
        if first in MAPPINGS:
            count = self._unpacker.read_map_header()
            return _decode({self._key(depth + 1): self._value(depth + 1) for _ in range(count)})
        if first in LISTS:
            return [self._value(depth + 1) for _ in range(self._unpacker.read_array_header())]
        return self._unpacker.unpack()

    def _key(self, depth: int) -> str | bytes:
        key = self._value(depth)
        if not isinstance(key, (str, bytes)) or len(key) > LONGEST_KEY:
            raise WireError(f"a key is {reprlib.repr(key)}; expected text of at most {LONGEST_KEY} characters")
        return key


def _encode(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)) and not DTYPES.fullmatch(value.dtype.str):
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
            raise WireError(f"an array's shape is {reprlib.repr(shape)}; expected a list of lengths")
        if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
            raise WireError(f"an array's data does not fit its shape {list(shape)} of {dtype}")
        return np.frombuffer(data, dtype).reshape(shape)
    if NUMBER in value:
        return _number(_dtype(value), value.get(b"data"))
    return value


def _number(dtype: np.dtype, number: Any) -> np.generic:
    if isinstance(number, (bool, int, float)):
        try:
            with np.errstate(over="ignore"):
                found = dtype.type(number)
        except (OverflowError, ValueError):  # 300, infinity or NaN as int8
            pass
        else:
            if found == number or number != number:
                return found
    raise WireError(f"a number is {reprlib.repr(number)}; expected one that {dtype} can hold")


def _dtype(value: dict) -> np.dtype:
    name = value.get(b"dtype")
    name = name.decode("ascii", "replace") if isinstance(name, bytes) else name
    if not isinstance(name, str) or not DTYPES.fullmatch(name):
        raise WireError(f"an array's dtype is {reprlib.repr(name)}; expected that of numbers, such as <f4")
    return np.dtype(name)
