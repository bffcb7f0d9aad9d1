"""One stored case measured and judged, in a worker: voxels, slices, field, masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import IntegrityError
from ..findings import Finding
from . import _qc_measure as measure
from ._qc_settings import Limits, QcSettings
from ._quality import quality

__all__ = ["Seen", "examine"]

UNITS = {"CT": ("HU",), "PT": ("SUV", "Bq/mL"), "NM": ("SUV", "Bq/mL")}
NORMALISED = "normalised"


@dataclass
class Seen:
    """What a worker saw of one case."""

    row: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    hash: bytes | None = None


def examine(settings: QcSettings, case: Any) -> Seen:
    """Measure and judge one stored case."""
    modality = str(case.metadata.get("modality") or "")
    seen = Seen({"state": case.state, "modality": modality})
    if not case.has_voxels:
        return seen
    try:
        _look(case, seen, settings.of(modality), settings)
    except (IntegrityError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        seen.findings.append(Finding("case-damaged", why or "A file of the case differs from its manifest."))
    return seen


def _look(case: Any, seen: Seen, limits: Limits, settings: QcSettings) -> None:
    image = case.image(threads=1)
    array = np.asarray(image.array)
    seen.row |= {
        "unit": image.unit,
        **dict(zip(("slices", "rows", "columns"), map(int, image.shape[-3:]), strict=True)),
        "voxels": int(array.size),
        **dict(zip(("spacing_z", "spacing_y", "spacing_x"), map(float, image.spacing), strict=True)),
        "masks": len(case.mask_names),
    }
    found = seen.findings
    judged = quality(image, saturated=limits.saturated, units=settings.units)
    found += judged
    _unit(seen, image.unit)
    widest = max(image.spacing)
    _judge(found, "coarse-grid", widest, limits.spacing, "The largest edge of a voxel is {value:.3g} mm.")
    if any(finding.code == "empty-image" for finding in judged):
        _masks(case, found, limits, None, 1)
        return
    padding = None if image.padding is None else np.asarray(image.padding)
    even = _slices(array, padding, seen, limits)
    volume = measure.plain(image)
    thin, step = measure.thinned(volume)
    body = measure.body_of(thin, image.unit, None if padding is None else padding[:, ::step, ::step])
    _sharpness(volume, body, even, seen, limits, step)
    seen.row["edge"] = body.edge
    text = "The body touches {value:.1%} of a side of the field."
    _judge(found, "truncated-anatomy", body.edge, limits.edge, text)
    seen.hash = measure.perceptual_hash(volume, image.affine, image.unit)
    seen.row["hash"] = None if seen.hash is None else seen.hash.hex()
    del volume, image, array
    _masks(case, found, limits, body, step)


def _judge(
    found: list[Finding],
    code: str,
    value: float,
    limit: float | None,
    text: str,
    where: str = "",
    *,
    least: bool = False,
) -> None:
    """A finding where a measure lies beyond its limit; what could not be measured is not judged."""
    if limit is None or not np.isfinite(value) or (value >= limit if least else value <= limit):
        return
    end = "at least" if least else "at most"
    message = f"{text.format(value=value)} The site asks for {end} {limit:g}."
    found.append(Finding(code, message, where, {"value": float(value), "limit": float(limit)}))


def _unit(seen: Seen, unit: str | None) -> None:
    wanted = UNITS.get(seen.row["modality"])
    if wanted and unit not in wanted and unit != NORMALISED:
        message = f"{seen.row['modality']} in {unit or 'no unit'}; expected {' or '.join(wanted)}."
        seen.findings.append(Finding("unit-missing", message))


def _slices(array: Any, padding: Any, seen: Seen, limits: Limits) -> Any:
    """Blank and repeated slices of every volume; which slices of the first one are blank."""
    volumes = array.reshape(-1, *array.shape[-3:])
    filled = np.zeros(array.shape[-3], bool) if padding is None else padding.all(axis=(1, 2))
    blank: list[int] = []
    pairs: list[tuple[int, int]] = []
    first = np.zeros(array.shape[-3], bool)
    for number, volume in enumerate(volumes):
        even, same = measure.repeated(volume, measure.thinned(volume)[0])
        blank += [k for k in even if not filled[k]]
        pairs += same
        if number == 0:
            first[even] = True
    seen.row |= {"blank_slices": len(blank), "duplicate_slices": len(pairs)}
    if blank:
        text = f"{{value:.0f}} slices have one single value; the first is slice {blank[0] + 1}."
        _judge(seen.findings, "blank-slice", len(blank), limits.blank_slices, text)
    if pairs:
        text = f"{{value:.0f}} slices repeat another one; slice {pairs[0][1] + 1} is slice {pairs[0][0] + 1}."
        _judge(seen.findings, "duplicate-slice", len(pairs), limits.duplicate_slices, text)
    return first


def _sharpness(volume: Any, body: Any, even: Any, seen: Seen, limits: Limits, step: int) -> None:
    shown = body.inside.any(axis=(1, 2)) & ~even
    places = measure.sampled(measure.SLICES, shown if shown.any() else ~even)
    planes = volume[places].astype(np.float32)
    # Within the body's outline on the thinned grid; of CT without the air in it.
    outline = np.repeat(np.repeat(body.inside[places], step, axis=1), step, axis=2)[
        :, : planes.shape[1], : planes.shape[2]
    ]
    inside = outline & (planes > body.threshold) if seen.row["unit"] == "HU" else outline
    noise, blur = measure.noise_of(planes, inside), measure.blur_of(planes)
    mean = float(planes[inside].mean(dtype=np.float64)) if inside.any() else float("nan")
    snr = mean / noise if noise > 0 else float("nan")
    seen.row |= {name: _number(value) for name, value in (("noise", noise), ("snr", snr), ("blur", blur))}
    _judge(seen.findings, "noisy", noise, limits.noise, "Noise of {value:.4g} in the body.")
    _judge(seen.findings, "noisy", snr, limits.snr, "Signal over noise of {value:.3g} in the body.", least=True)
    _judge(seen.findings, "blurred", blur, limits.blur, "Blur of {value:.3f}.")


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _masks(case: Any, found: list[Finding], limits: Limits, body: Any, step: int) -> None:
    """Masks one after the other; they are called by their number, because names may name someone."""
    for number, name in enumerate(case.mask_names, 1):
        where = f"mask {number}"
        mask = np.asarray(case.read((), mask=name, threads=1).array)
        corner, part = _cropped(mask)
        places = tuple(at + first for at, first in zip(np.nonzero(part), corner, strict=True))
        count = len(places[0])
        if not count:
            found.append(Finding("mask-empty", "", where))
            continue
        _judge(found, "mask-small", count, limits.mask_voxels, "{value:.0f} voxels.", where, least=True)
        edges = np.zeros(count, bool)
        for at, size in zip(places, mask.shape, strict=True):
            edges |= ((at == 0) | (at == size - 1)) & (size > 1)
        text = "{value:.1%} of the mask lie in the outermost voxels of the volume."
        _judge(found, "mask-cut", float(edges.mean()), limits.mask_edge, text, where)
        if body is not None:
            outside = float(body.air[places[0], places[1] // step, places[2] // step].mean())
            text = "{value:.1%} of the mask lie in the air around the body."
            _judge(found, "mask-off-body", outside, limits.mask_outside, text, where)


def _cropped(mask: Any) -> tuple[tuple[int, int, int], Any]:
    """The first corner of the box around a mask, and the box: most of a volume is not in it."""
    corner, part = [], mask
    for axis in range(3):
        shown = np.flatnonzero(part.any(axis=tuple(k for k in range(3) if k != axis)))
        low, high = (int(shown[0]), int(shown[-1]) + 1) if len(shown) else (0, 0)
        corner.append(low)
        part = part[(slice(None),) * axis + (slice(low, high),)]
    return (corner[0], corner[1], corner[2]), part
