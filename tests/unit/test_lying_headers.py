"""A safetensors file whose header lies ends in one short message, whoever reads it."""

import json
import struct
import tracemalloc

import pytest
import torch
from made_up import closed_loop, evaluation
from pisft.diff.weights import changes
from pisft.errors import PisftError
from pisft.evaluate import recorded_actions
from pisft.model import Pi0, load_weights
from pisft.model.lora import _fill_file
from tiny_model import model_config

TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def file_of(header, data=b"\0" * 8, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


LIES = {
    "nothing": b"",
    "half a length": b"\1\0\0",
    "a length beyond all": file_of({"a": TENSOR}, length=2**62),
    "a length beyond the file": file_of({"a": TENSOR}, length=10_000),
    "no JSON": file_of(b"{" * 50),
    "nested without end": file_of(b"[" * 100_000),
    "a list": file_of([1, 2]),
    "no UTF-8": file_of(b'{"\xff": 1}'),
    "a type that is none": file_of({"a": TENSOR | {"dtype": "O"}}),
    "a shape beyond all": file_of({"a": TENSOR | {"shape": [2**62, 2**62]}}),
    "a negative shape": file_of({"a": TENSOR | {"shape": [-2]}}),
    "a shape of text": file_of({"a": TENSOR | {"shape": "2"}}),
    "more than the file": file_of({"a": {"dtype": "F32", "shape": [2**30], "data_offsets": [0, 2**32]}}),
    "offsets that overlap": file_of({"a": TENSOR, "b": TENSOR}),
    "offsets that go back": file_of({"a": TENSOR | {"data_offsets": [8, 0]}}),
    "a hole": file_of({"a": TENSOR | {"data_offsets": [4, 12]}}, b"\0" * 12),
    "more data than it names": file_of({"a": TENSOR}, b"\0" * 64),
    "names without end": file_of(
        {f"n{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(200_000)}
    ),
    "names that a terminal obeys": file_of({"\x1b[2J\n" * 50: TENSOR}),
}


def read_rollouts(path):
    evaluation("x", closed_loop({"a": [True]})).write(path.parent / "eval.json")
    recorded_actions.episodes(path.parent)


READERS = {
    "weights": lambda path: load_weights(Pi0(model_config()), path),
    "adapter": lambda path: _fill_file({"x": torch.zeros(3)}, path),
    "rollouts": read_rollouts,
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("reader", READERS)
def test_it_is_one_short_message(tmp_path, lie, reader):
    path = tmp_path / "rollouts.safetensors"
    path.write_bytes(LIES[lie])
    tracemalloc.start()
    with pytest.raises(PisftError) as caught:
        READERS[reader](path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(str(caught.value)) < 15_000 and str(tmp_path) in str(caught.value)
    assert peak < 500 * 2**20


@pytest.mark.parametrize(
    "lie", [lie for lie in LIES if lie not in ("names without end", "names that a terminal obeys")]
)
def test_a_diff_says_it_too(tmp_path, lie):
    path = tmp_path / "a.safetensors"
    path.write_bytes(LIES[lie])
    with pytest.raises(PisftError, match="cannot be read as safetensors"):
        changes(path, path)
