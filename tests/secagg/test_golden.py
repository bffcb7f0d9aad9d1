"""Messages of released versions are read as they were: recorded rounds, played to a server of today."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fastimg as fi

RECORDED = [json.loads((Path(__file__).parent / f"golden_v{version}.json").read_text()) for version in (1, 2)]


def play(recorded, n, threshold):
    roster = {node: bytes.fromhex(key) for node, key in recorded["roster"].items()} if recorded["active"] else None
    server = fi.secagg.Server(n=n, threshold=threshold, length=3, roster=roster)
    for number, step in enumerate(recorded["steps"]):
        if number:
            server.advance()
        for message in step:
            server.receive(bytes.fromhex(message))
    return server.result()


@pytest.mark.parametrize("recorded", RECORDED[0], ids=["passive, AES", "active, ChaCha20"])
def test_version_1(recorded):
    """Four nodes of [i, -i, 1000 i], i = 1..4; the second fell silent after its shares."""
    value, survivors = play(recorded, 4, 3)
    assert (value.tolist(), survivors) == ([8, -8, 8000], ["a", "c", "d"])


@pytest.mark.parametrize("recorded", RECORDED[1], ids=["passive, sparse, AES", "active, ChaCha20"])
def test_version_2(recorded):
    """As version 1, and eight nodes on a graph of four neighbours each."""
    value, survivors = play(recorded, recorded["n"], recorded["threshold"])
    total = {4: 8, 8: 34}[recorded["n"]]
    assert value.tolist() == [total, -total, 1000 * total]
    assert survivors == [node for node in "abcdefgh"[: recorded["n"]] if node != "b"]


def test_a_newer_version_is_refused():
    message = bytearray.fromhex(RECORDED[0][0]["steps"][0][0])
    message[4] = 3
    with pytest.raises(fi.errors.FormatError, match="version 3"):
        fi.secagg.Server(n=4, threshold=3, length=3).receive(bytes(message))


def test_a_round_has_one_version():
    server = fi.secagg.Server(n=4, length=3)
    server.receive(bytes.fromhex(RECORDED[0][0]["steps"][0][0]))
    with pytest.raises(fi.errors.FormatError, match="another"):
        server.receive(bytes.fromhex(RECORDED[1][0]["steps"][0][0]))
