"""bench: a few kernels on this machine, in under a minute. The whole suite, with peers, is `make bench`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click

from ._main import as_json, emit, exit_with, main

__all__: list[str] = []


@main.command()
@click.option("--size", type=click.IntRange(16, 512), default=160, show_default=True, help="Voxels along an edge.")
@as_json
@exit_with
def bench(size: int, json_: bool) -> int:
    """Time a few kernels on a synthetic volume, against the machine's copy speed measured in the same run."""
    import numpy as np

    from .. import config

    rng = np.random.default_rng(0)
    volume = rng.normal(40, 200, (size, size, size)).astype(np.float32)
    target = np.empty_like(volume)
    copy = _best(lambda: np.copyto(target, volume))
    speed = 2 * volume.nbytes / copy
    rows = [{"work": "copy (the machine's limit)", "Mvoxel/s": volume.size / copy / 1e6, "share": 1.0}]
    for name, moved, voxels, work in _cases(volume):
        spent = _best(work)
        rows.append({"work": name, "Mvoxel/s": voxels / spent / 1e6, "share": moved / spent / speed})
    if json_:
        emit({"size": size, "threads": config.threads(), "isa": config.isa(), "cases": rows})
        return 0
    click.echo(f"{size}^3 float32, {config.threads()} threads, {config.isa()}; copy {speed / 1e9:.1f} GB/s")
    click.echo(f"{'work':<36} {'Mvoxel/s':>10} {'of the limit':>13}")
    for row in rows:
        click.echo(f"{row['work']:<36} {row['Mvoxel/s']:>10.0f} {100 * float(str(row['share'])):>12.0f}%")
    return 0


def _cases(volume: Any) -> list[tuple[str, float, float, Callable[[], Any]]]:
    """(name, fewest bytes that it must move, voxels it makes, work)."""
    import numpy as np

    import fastimg as fi

    out = np.empty_like(volume)
    image = fi.Image(volume, spacing=(1.5, 1.5, 1.5), unit="HU")
    small = image.with_array(np.rint(volume).astype(np.int16))
    voxels = float(volume.size)
    made = float(np.prod(fi.resample(image, spacing=(1, 1, 1)).shape))
    return [
        ("window", 8 * voxels, voxels, lambda: fi.harmonize.window(volume, low=-160, high=240, out=out)),
        ("z-score", 12 * voxels, voxels, lambda: fi.harmonize.zscore(volume, out=out)),
        ("histogram of int16, exact", 2 * voxels, voxels, lambda: fi.Histogram.of(small)),
        ("resample 1.5 to 1 mm, linear", 4 * (voxels + made), made, lambda: fi.resample(image, spacing=(1, 1, 1))),
    ]


def _best(work: Callable[[], Any], seconds: float = 1.5) -> float:
    work()
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best
