"""fastimg bench: its rows, and that it keeps to its minute."""

from __future__ import annotations

import json

import numpy as np
from click.testing import CliRunner

from fastimg.cli import main


def call(*arguments):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result


def test_rows():
    seen = json.loads(call("bench", "--size", "16", "--json", "--seconds", "2").stdout)
    assert len(seen["cases"]) > 1
    assert all(row["Mvoxel/s"] > 0 for row in seen["cases"])


def test_bench_stops_when_its_time_is_spent(monkeypatch):
    """By a clock that only works move: eight of 4 s, of which each is done once and again while time is left."""
    from fastimg.cli import _bench

    now, done = [0.0], []
    monkeypatch.setattr(_bench.time, "perf_counter", lambda: now[0])

    def work(name):
        def one():
            now[0] += 4
            done.append(name)

        return name, 8.0, 1.0, one

    monkeypatch.setattr(_bench, "_cases", lambda volume: [work(name) for name in "abcdefgh"])
    monkeypatch.setattr(np, "copyto", lambda *a: now.__setitem__(0, now[0] + 1))
    seen = json.loads(call("bench", "--size", "16", "--json", "--seconds", "20").stdout)
    assert now[0] <= 20 + 4  # none begins later
    assert [row["work"] for row in seen["cases"][1:]] + seen["not_timed"] == list("abcdefgh")
    assert seen["not_timed"] == list("defgh")
    assert done == list("aabbc")
    now[0] = 0
    assert "not timed, 20 s were spent: d, e, f, g, h" in call("bench", "--size", "16", "--seconds", "20").stdout
    now[0] = 0
    assert len(json.loads(call("bench", "--size", "16", "--json").stdout)["not_timed"]) < 3
    assert 50 - 4 <= now[0] < 60  # what is left of the minute by default
