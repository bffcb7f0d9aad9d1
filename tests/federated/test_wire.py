"""The bytes that travel: arrays raw, never as text; whatever else comes is refused, and a broken node breaks nobody."""

from __future__ import annotations

import json
import struct

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastimg.errors import ArgumentError, FormatError
from fastimg.federated import Federation, Identity, Node, Policy, registered
from fastimg.federated._codec import dumps, loads
from fastimg.federated._query import Query, Request
from fastimg.federated._reply import Answer

HEAD = b"\xffFASTIM\x01"


def same(a, b):
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


arrays = st.sampled_from(["<i8", "<f8", "|b1"]).flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
scalars = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    scalars | st.text(max_size=9) | st.binary(max_size=20) | arrays,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@hypothesis.given(values)
@hypothesis.settings(deadline=None, max_examples=200)
def test_values_come_back_bit_by_bit(value):
    data = dumps(value)
    assert same(loads(data), value)
    assert dumps(loads(data)) == data


def test_without_arrays_it_is_canonical_json():
    value = {"b": [1, 2.5, None, True], "a": "ä"}
    assert dumps(value) == json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def test_arrays_travel_raw():
    array = np.arange(100_000, dtype=np.float64)
    data = dumps({"z": [array, b"\0\1"], "a": array[::2] > 3})
    assert array.tobytes() in data
    assert len(data) < array.nbytes + 50_000 + 300
    back = loads(data)
    assert np.shares_memory(back["z"][0], np.frombuffer(data, np.uint8))  # read in place
    assert not back["z"][0].flags.writeable
    assert back["z"][0].flags.aligned
    assert data[:8] == HEAD  # the layout that the module describes
    length = struct.unpack("<Q", data[8:16])[0]
    assert json.loads(data[16 : 16 + length]) == {
        "a": {"__array__": ["|b1", [50_000]]},
        "z": [{"__array__": ["<f8", [100_000]]}, {"__bytes__": 2}],
    }


def frame(text, raw=b"", *, pad=True):
    text = text if isinstance(text, bytes) else json.dumps(text).encode()
    return HEAD + struct.pack("<Q", len(text)) + text + b" " * (-len(text) % 8 if pad else 0) + raw


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        HEAD,
        b"\xffFASTIX\x01" + bytes(16),
        HEAD + struct.pack("<Q", 1 << 62),
        HEAD + struct.pack("<Q", 100) + b"{}",
        frame({"__array__": ["<f8", [2]]}, bytes(8)),  # cut short
        frame({"__array__": ["<f8", [1]]}, bytes(16)),  # too long
        frame({"__array__": ["<f8", [1 << 39, 1 << 39]]}),
        frame({"__array__": ["<f8", [-1]]}),
        frame({"__array__": ["<f8", [True]]}, bytes(8)),
        frame({"__array__": ["<f8", [1.0]]}, bytes(8)),
        frame({"__array__": ["|O", [1]]}, bytes(8)),
        frame({"__array__": ["<f4", [1]]}, bytes(8)),
        frame({"__array__": ["<f8", [0] * 40]}),
        frame({"__array__": ["<f8"]}),
        frame({"__array__": None}),
        frame({"__array__": ["<f8", [1]], "x": 1}, bytes(8)),
        frame({"__bytes__": -1}),
        frame({"__bytes__": 1 << 50}),
        frame({"__bytes__": 3}, b"abc\0\0\0\0\1"),  # padding hides something
        frame({"__array__": ["|b1", [2]]}, b"\2\0" + bytes(6)),
        frame(b'{"a":{"__bytes__":0}}\0\0\0'),
        frame(b'{"__bytes__":1}', b"abcdefgh", pad=False),
        b'{"__array__":["<f8",[1],"AAAAAAAAAAA="]}',  # an array as text
        b'{"a":1,"a":2}',
        b"[NaN]",
        b"[1e999]",
        b"[" * 100_000,
        b"\xc3\x28",
        b"1" * 5000,
    ],
    ids=lambda data: str(data[:40]),
)
def test_what_does_not_fit_is_refused(data):
    with pytest.raises(FormatError, match="federated: "):
        loads(data)


def test_a_newer_frame_and_a_large_one_are_refused():
    with pytest.raises(FormatError, match="version 2; this fastimg reads version 1"):
        loads(b"\xffFASTIM\x02" + bytes(8))
    with pytest.raises(FormatError, match="at most 10"):
        loads(b"[" + b"1," * 9, limit=10)


@pytest.mark.parametrize(
    "value", [{"__array__": 1}, {"__bytes__": 1}, {1: 2}, float("nan"), {1, 2}, np.array(["x"]), object(), 1j]
)
def test_what_does_not_travel(value):
    with pytest.raises(ArgumentError, match="federated: "):
        dumps(value)


def large_query():
    parameters = registered()["count"].check({})
    shared = {"weights": np.arange(1000.0)}
    return Query("count", 1, parameters, shared, "local", "0" * 32, 1, 1, ["a", "b", "c"], 2, True)


def test_queries_carry_arrays_and_the_request_raw():
    query = large_query()
    assert query.shared["weights"].tobytes() in query.to_bytes()
    back = Query.from_bytes(query.to_bytes())
    np.testing.assert_array_equal(back.shared["weights"], query.shared["weights"])
    request = Request.signed(Identity.new("r"), "count", 1, {"start": np.ones(3)}, ["a"], secure=True)
    assert np.ones(3).tobytes() in request.to_bytes()
    assert Request.from_bytes(request.to_bytes()).to_bytes() == request.to_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": "0" * 31},
        {"nonce": "G" * 32},
        {"round": -1},
        {"round": 1 << 60},
        {"attempt": True},
        {"attempt": "1"},
        {"nodes": [1]},
        {"nodes": ["x" * 65]},
        {"nodes": ["a"] * 10_001},
        {"computation": "x" * 129},
        {"request": ""},
        {"shared": []},
        {"format": "fastimg-quer"},
        {"format_version": 1},
        {"format_version": 3},
        {"more": 1},
    ],
)
def test_fields_of_a_query_are_checked(change):
    with pytest.raises(FormatError, match="query: "):
        Query.from_bytes(dumps(loads(large_query().to_bytes()) | change))


ABOUT = {"policy": "sha256:" + "0" * 64, "log_head": "f" * 64, "min_cases": 4}


def test_answers_are_checked_field_by_field():
    words = np.arange(7)
    good = {"about": ABOUT, "layout": [["a", "whole", [2]], ["b", "real", []]], "words": words}
    np.testing.assert_array_equal(Answer.from_bytes(dumps(good)).words, words)
    for bad in (
        None,
        [],
        {},
        {"about": ABOUT},
        good | {"message": b""},
        good | {"about": ABOUT | {"min_cases": 0}},
        good | {"about": ABOUT | {"policy": "x"}},
        good | {"about": ABOUT | {"log_head": 1}},
        good | {"about": ABOUT | {"extra": 1}},
        good | {"words": words[:6]},
        good | {"words": words.astype(float)},
        good | {"words": [1] * 7},
        good | {"layout": [["a", "whole", [1 << 50]]]},
        good | {"layout": [["a", "whole", [7]], ["a", "whole", [0]]]},
        good | {"layout": [["a", "text", [7]]]},
        good | {"layout": "ab"},
        {"about": ABOUT, "layout": [], "message": "text"},
        {"about": ABOUT, "labels": {"x": "text"}},
        {"about": ABOUT, "labels": {"x": [[1]]}},
        {"about": ABOUT, "labels": []},
    ):
        with pytest.raises(FormatError, match="federated: "):
            Answer.from_bytes(dumps(bad))


LAYOUT = [["cases", "whole", [1]], ["patients", "whole", [1]]]
WORDS = {"about": ABOUT, "layout": LAYOUT, "words": np.array([10**6, 10**6])}


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("says", [b"", b"\xff" * 9, dumps({"about": ABOUT}), dumps(WORDS)[:-8], None])
def test_a_node_that_answers_nonsense_is_lost_and_the_others_go_on(make, hospitals, tmp_path, secure, says):
    other = dumps(WORDS if secure else {"about": ABOUT, "layout": LAYOUT, "message": b"junk"})  # of the other kind

    class Babbles(Node):
        def answer(self, query):
            super().answer(query)
            return other if says is None else says

    node = Babbles(hospitals[0][0], Policy(min_cases=4), name="babbles", log=tmp_path / "log")
    fed = Federation.local([*make()._transport.nodes.values(), node])
    result = fed.run("count", secure=secure)
    assert result.value["cases"] == 72
    assert result.nodes[3] == {"name": "babbles", "status": "failed: FormatError"}
