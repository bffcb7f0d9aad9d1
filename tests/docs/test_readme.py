"""The developer's lines of README do as they are typed, on what it offers to those without data."""

from __future__ import annotations

import re

import numpy as np

import fastimg as fi

from ..conftest import ROOT


def test_the_developers_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text()
    (call,) = re.findall(r"`(fi\.synth\.hospitals\(.*?\))`", text)
    exec(call, {"fi": fi})
    (code,) = re.findall(r"## A developer\n\n```python\n(.*?)```", text, re.DOTALL)
    lines, cohort = code.split("\n\ncohort = ")
    seen = {}
    exec(lines, seen)
    assert seen["image"].spacing == (1, 1, 1)
    assert seen["features"]["original_shape_MeshVolume"] > 0
    assert abs(float(np.mean(seen["scaled"].array))) < 1e-3
    made = fi.Cohort.create(tmp_path / "COHORT")
    large = fi.Image(np.zeros((64, 64, 64), np.int16), unit="HU")
    made.add("case-1", large, None, {"site": "a", "modality": "CT"})
    exec("cohort = " + cohort.split("\nremote = ")[0], seen)  # the rest is in a bucket
    assert seen["table"].num_rows == 1
    assert next(iter(seen["patches"])).array.shape[-3:] == (64, 64, 64)
    assert list(seen["group"])
