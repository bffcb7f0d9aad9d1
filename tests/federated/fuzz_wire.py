"""libFuzzer over everything that parses a stranger's bytes in a federation; run by test_fuzz.py, or by hand with its options."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["fastimg.federated"]):
    import numpy as np

    from fastimg.errors import FormatError, RefusedError
    from fastimg.federated import Identity, Roster
    from fastimg.federated import _messages as wire
    from fastimg.federated._codec import dumps, loads
    from fastimg.federated._query import Query, Request
    from fastimg.federated._reply import Answer

AUTHORITY = "0" * 64


def once(data: bytes) -> None:
    """Each parser either refuses, or its value is written again as it was read."""
    for parse, back in (
        (loads, dumps),
        (Query.from_bytes, Query.to_bytes),
        (Request.from_bytes, Request.to_bytes),
        (Answer.from_bytes, None),
        (wire.opened, None),
        (lambda data: Roster.from_bytes(data, authority=AUTHORITY), None),
    ):
        try:
            value = parse(data)
        except (FormatError, RefusedError):
            continue
        if back is not None:
            again = back(value)
            assert back(parse(again)) == again
    wire.result(data)


def seeds(folder: str) -> None:
    """One well-formed message of each kind, to begin with."""
    request = Request.signed(Identity.new("r"), "count", 1, {"by": ["sex"]}, ["a", "b", "c"], secure=True).to_bytes()
    query = Query("count", 1, {"by": []}, {"x": np.ones(3)}, "r", "0" * 32, 1, 1, ["a"], 2, True, request)
    about = {"policy": "sha256:" + "0" * 64, "log_head": "f" * 64, "min_cases": 4}
    answers = [
        {"about": about, "labels": {"sex": ["F"]}},
        {"about": about, "layout": [["a", "real", [1]]], "words": np.arange(5)},
        {"about": about, "layout": [["a", "whole", [2]]], "message": b"xyz"},
    ]
    for k, data in enumerate([request, query.to_bytes(), wire.ask(query.to_bytes()), *map(dumps, answers)]):
        with open(f"{folder}/seed-{k}", "wb") as file:
            file.write(data)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[-1].startswith("-"):
        seeds(sys.argv[-1])
    atheris.Setup(sys.argv, once)
    atheris.Fuzz()
