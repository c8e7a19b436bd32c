"""What is packed is unpacked, and whatever bytes come take no more than a few times their size."""

import contextlib
import sys
import tracemalloc

import msgpack
import numpy as np
import pytest
from hostile_messages import HOSTILE
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pisft.serving.wire import WireError, pack, unpack


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats(allow_nan=False)
        | st.text()
        | st.binary()
        | arrays.arrays(
            arrays.scalar_dtypes().filter(lambda d: d.kind in "biuf" and d.itemsize <= 8),
            arrays.array_shapes(min_side=0),
        ),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    )
)
def test_what_is_packed_is_unpacked(value):
    def same(one, other):
        if isinstance(one, np.ndarray):
            return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
        if isinstance(one, list):
            return len(one) == len(other) and all(map(same, one, other))
        if isinstance(one, dict):
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
        return one == other and type(one) is type(other)

    assert same(value, unpack(pack(value)))


@pytest.mark.parametrize("message", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_message_is_refused_at_a_few_times_its_size(message):
    tracemalloc.start()
    try:
        with contextlib.suppress(WireError):
            unpack(message)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * len(message) + 20 * 2**20


def test_the_keys_of_a_message_are_forgotten_with_it():
    messages = [pack({f"key {message} {number}": 0 for number in range(1000)}) for message in range(20)]
    before = sys.getallocatedblocks()
    for message in messages:
        unpack(message)
    assert sys.getallocatedblocks() - before < 1000


CLAIMS = st.fixed_dictionaries(
    {
        b"data": st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary(max_size=16),
        b"dtype": st.sampled_from(["|b1", "|i1", "|u1", "<i8", ">u2", "<f2", "<f4", ">f8", "<f16", "<c8", "|O", "<M8"])
        | st.text(max_size=8)
        | st.binary(max_size=8),
        b"shape": st.lists(st.integers(-1, 2) | st.integers(-(2**63), 2**64 - 1), max_size=9) | st.none(),
    }
)


@given(st.sampled_from([b"__npgeneric__", b"__ndarray__"]), CLAIMS)
def test_whatever_arrays_and_numbers_claim_they_are_some_or_refused(kind, claims):
    try:
        value = unpack(msgpack.packb(claims | {kind: True}))
    except WireError:
        return
    assert value.dtype.kind in "biuf" and value.dtype.itemsize <= 8
    if kind == b"__npgeneric__":
        assert value == claims[b"data"] or value != value
    else:
        assert value.tobytes() == claims[b"data"]


@given(st.binary(max_size=200))
def test_whatever_bytes_come_they_are_a_value_or_refused(message):
    with contextlib.suppress(WireError):
        unpack(message)


def test_things_that_are_no_numbers_are_not_sent():
    for value in (np.array([object()]), np.array(["text"]), np.zeros(2, "c8"), {1, 2}):
        with pytest.raises(WireError):
            pack(value)
