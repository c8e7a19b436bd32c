"""What nobody who drives a robot would send: name → bytes."""

import pickle

import msgpack
import numpy as np
from pisft.serving.wire import pack

HOSTILE = {
    "garbage": b"\xc1\xff\x00garbage",
    "a pickle": pickle.dumps({"observation.state": 1}),
    "nested without end": b"\x91" * 100_000,
    "megabytes nested without end": b"\x91" * 4_000_000,
    "megabytes of mappings nested without end": b"\x81\xa0" * 2_000_000,
    "megabytes of empty lists": b"\xdd\x00\x3d\x09\x00" + b"\x90" * 4_000_000,
    "megabytes of empty mappings": b"\xdd\x00\x3d\x09\x00" + b"\x80" * 4_000_000,
    "megabytes of nothing": b"\xdd\x00\x3d\x09\x00" + b"\xc0" * 4_000_000,
    "megabytes of short texts": b"\xdd\x00\x14\x58\x55" + b"\xa2ab" * 1_333_333,
    "megabytes of keys": msgpack.packb({str(number): 0 for number in range(400_000)}),
    "lists of lists of lists": msgpack.packb([[[[]] * 100] * 200] * 200),
    "a list that claims four billion": b"\xdd\xff\xff\xff\xff",
    "an object array": msgpack.packb({b"__ndarray__": True, b"data": b"x" * 8, b"dtype": "|O", b"shape": [1]}),
    "a record array": msgpack.packb({b"__ndarray__": True, b"data": b"x" * 8, b"dtype": "i4,i4", b"shape": [1]}),
    "a shape that overflows": msgpack.packb(
        {b"__ndarray__": True, b"data": b"", b"dtype": "<f4", b"shape": [2**62, 4]}
    ),
    "a negative shape": msgpack.packb({b"__ndarray__": True, b"data": b"", b"dtype": "<f4", b"shape": [-1]}),
    "a dtype that is none": msgpack.packb({b"__ndarray__": True, b"data": b"", b"dtype": [1], b"shape": [0]}),
    "a number that is none": msgpack.packb({b"__npgeneric__": True, b"data": "x", b"dtype": "<f4"}),
    "a number that its dtype cannot hold": msgpack.packb({b"__npgeneric__": True, b"data": 300, b"dtype": "|i1"}),
    "a key of a megabyte": msgpack.packb({"k" * 2**20: 0}),
    "a list as a key": b"\x81\x90\x90",
    "a value that ends early": pack({"a": np.zeros(9)})[:-1],
    "more than one value": b"\x80\x80",
    "nothing": b"",
    "a number": msgpack.packb(7),
}
