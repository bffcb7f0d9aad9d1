"""bench: a few kernels on this machine, in under a minute. The whole suite, with peers, is `make bench`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click

from ..errors import ArgumentError
from ._main import as_json, emit, exit_with, main

__all__: list[str] = []


@main.command()
@click.option("--size", type=click.IntRange(16, 512), default=160, show_default=True, help="Voxels along an edge.")
@click.option("--case", "wanted", multiple=True, help="Only the cases whose name holds this text.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=50.0,
    show_default=True,
    help="Time to spend: what would begin later is named, not timed.",
)
@click.option(
    "--repeat", type=click.IntRange(1), help="Do each so many times and time nothing: for instruction counts."
)
@as_json
@exit_with
def bench(size: int, wanted: tuple[str, ...], seconds: float, repeat: int | None, json_: bool) -> int:
    """Time a few kernels on a synthetic volume, against the machine's copy speed measured in the same run.

    Two installations are compared by bench/compare.py of the repository, which runs this command of both in turn.
    """
    import numpy as np

    from .. import config

    end = time.perf_counter() + seconds
    rng = np.random.default_rng(0)
    volume = rng.normal(40, 200, (size, size, size)).astype(np.float32)
    cases = [case for case in _cases(volume) if not wanted or any(text in case[0] for text in wanted)]
    if not cases:
        raise ArgumentError("--case: no case has such a name; without it all are listed")
    if repeat:
        for _ in range(repeat):
            for _, _, _, work in cases:
                work()
        return 0
    target = np.empty_like(volume)
    copy = _best(lambda: np.copyto(target, volume), end)
    speed = 2 * volume.nbytes / copy
    rows = [{"work": "copy (the machine's limit)", "seconds": copy, "Mvoxel/s": volume.size / copy / 1e6, "share": 1.0}]
    late = []
    for name, moved, voxels, work in cases:
        if time.perf_counter() > end:
            late.append(name)
            continue
        spent = _best(work, end)
        rows.append({"work": name, "seconds": spent, "Mvoxel/s": voxels / spent / 1e6, "share": moved / spent / speed})
    if json_:
        emit({"size": size, "threads": config.threads(), "isa": config.isa(), "cases": rows, "not_timed": late})
        return 0
    click.echo(f"{size}^3 float32, {config.threads()} threads, {config.isa()}; copy {speed / 1e9:.1f} GB/s")
    click.echo(f"{'work':<36} {'Mvoxel/s':>10} {'of the limit':>13}")
    for row in rows:
        click.echo(f"{row['work']:<36} {row['Mvoxel/s']:>10.0f} {100 * float(str(row['share'])):>12.0f}%")
    if late:
        click.echo(f"not timed, {seconds:g} s were spent: {', '.join(late)} (--seconds gives more, --size less work)")
    return 0


def _cases(volume: Any) -> list[tuple[str, float, float, Callable[[], Any]]]:
    """(name, fewest bytes that it must move, voxels it makes or measures, work)."""
    import numpy as np

    import fastimg as fi

    out = np.empty_like(volume)
    image = fi.Image(volume, spacing=(1.5, 1.5, 1.5), unit="HU")
    small = image.with_array(np.rint(volume).astype(np.int16))
    voxels = float(volume.size)
    made = float(np.prod(fi.resample(image, spacing=(1, 1, 1)).shape))
    block = fi.Image(small.array[:48, :48, :48].copy(), unit="HU")
    region = block.with_array(np.ones(block.shape, np.uint8))
    settings = fi.radiomics.Settings(bin_width=25, families=("glcm", "glrlm", "glszm"))
    vector, masked = volume.reshape(-1), np.empty(volume.size, np.uint32)
    seeds, signs = [bytes([n]) * 32 for n in range(4)], [1, -1, 1, -1]
    count = float(region.array.size)
    return [
        ("window", 8 * voxels, voxels, lambda: fi.harmonize.window(volume, low=-160, high=240, out=out)),
        ("z-score", 12 * voxels, voxels, lambda: fi.harmonize.zscore(volume, out=out)),
        ("histogram of int16, exact", 2 * voxels, voxels, lambda: fi.Histogram.of(small)),
        ("resample 1.5 to 1 mm, linear", 4 * (voxels + made), made, lambda: fi.resample(image, spacing=(1, 1, 1))),
        ("resample, cubic", 4 * (voxels + made), made, lambda: fi.resample(image, spacing=(1, 1, 1), order="cubic")),
        ("3 texture families", 3 * count, count, lambda: fi.radiomics.extract(block, region, settings)),
        (
            "4 masks, 24 bits",
            8 * voxels,
            voxels,
            lambda: fi.secagg.mask(vector, seeds, signs, bits=24, clip=2000.0, out=masked),
        ),
    ]


def _best(work: Callable[[], Any], end: float, seconds: float = 1.5) -> float:
    """The best of what `seconds` allow after a first time, of which none begins that would pass `end`."""
    start = time.perf_counter()
    work()
    now = time.perf_counter()
    best, until = now - start, min(now + seconds, end)
    while now < until and now + best <= end:
        start = now
        work()
        now = time.perf_counter()
        best = min(best, now - start)
    return best
