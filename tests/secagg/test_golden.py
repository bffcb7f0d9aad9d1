"""Messages of released versions are read as they were: recorded rounds, played to a server of today."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fastimg as fi

RECORDED = json.loads((Path(__file__).parent / "golden_v1.json").read_text())


@pytest.mark.parametrize("recorded", RECORDED, ids=["passive, AES", "active, ChaCha20"])
def test_version_1(recorded):
    """Four nodes of [i, -i, 1000 i], i = 1..4; the second fell silent after its shares."""
    roster = {node: bytes.fromhex(key) for node, key in recorded["roster"].items()} if recorded["active"] else None
    server = fi.secagg.Server(n=4, threshold=3, length=3, roster=roster)
    for number, step in enumerate(recorded["steps"]):
        if number:
            server.advance()
        for message in step:
            server.receive(bytes.fromhex(message))
    value, survivors = server.result()
    assert (value.tolist(), survivors) == ([8, -8, 8000], ["a", "c", "d"])


def test_a_newer_version_is_refused():
    message = bytearray.fromhex(RECORDED[0]["steps"][0][0])
    message[4] = 3
    with pytest.raises(fi.errors.FormatError, match="version 3"):
        fi.secagg.Server(n=4, threshold=3, length=3).receive(bytes(message))
