"""What the tests of quality control share: a body like a CT's, and what is seen in a cohort."""

from __future__ import annotations

import numpy as np

import fastimg as fi
from fastimg.pipeline import qc
from fastimg.pipeline._pool import InProcess

SHAPE = (12, 160, 160)
RNG = np.random.default_rng(0)


def body(seed=0, shape=SHAPE, centre=(0.5, 0.5), radius=0.35, noise=12.0):
    """CT-like: an ellipse of tissue with organs and texture, air around, white noise; HU as int16."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : shape[1] * 1j, 0 : 1 : shape[2] * 1j]
    inside = ((y - centre[0]) / (0.8 * radius)) ** 2 + ((x - centre[1]) / radius) ** 2 < 1
    volume = np.full(shape, -1000.0)
    volume[:, inside] = 40
    for _ in range(25):
        z, cy, cx = rng.uniform(0, 1, 3)
        r, value = rng.uniform(0.04, 0.12), rng.uniform(-700, 700)
        depth = np.linspace(0, 1, shape[0])[:, None, None] - z
        organ = inside & (depth**2 * 0.2 + (y - cy) ** 2 + (x - cx) ** 2 < r**2)
        volume[organ] = value
    return np.rint(volume + rng.normal(0, noise, shape)).clip(-1024).astype(np.int16)


def image(array, unit="HU", spacing=(3, 1, 1), **options):
    return fi.Image(array, spacing=spacing, unit=unit, **options)


def seen(cohort, settings=None, **options):
    """(codes by case, report)."""
    report = qc(cohort, settings, executor=InProcess(), **options)
    codes = {}
    for row in report.findings.to_pylist():
        codes.setdefault(row["case_id"], []).append(row["code"])
    return codes, report


def add(cohort, name, array, *, modality="CT", masks=None, metadata=None, **options):
    return cohort.add(name, image(array, **options), masks, {"modality": modality, **(metadata or {})})
