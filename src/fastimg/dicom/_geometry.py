"""Positions of slices in the patient: order, spacing, tilt, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..findings import Finding

__all__ = ["Stack", "affine_from_parts", "affine_of", "normal_of", "placed", "spacing_of", "stack"]

Array = npt.NDArray[np.float64]

# A distance between slices may differ from the usual one by this share of it, plus this length: positions are decimal
# texts of 16 characters, often rounded to a few digits.
RELATIVE, ABSOLUTE_MM = 0.01, 0.002
SHEAR = 1e-3  # in-plane shift over distance, about 0.06 degrees


@dataclass
class Stack:
    """Slices in order along the normal."""

    order: list[int] = field(default_factory=list)  # indices of the slices, one a position
    step: Array = field(default_factory=lambda: np.zeros(3))  # from one slice to the next, mm
    depths: Array = field(default_factory=lambda: np.zeros(0))  # along the normal, mm, in order
    repeats: list[list[int]] = field(default_factory=list)  # slices at the same position as order[i]
    findings: list[Finding] = field(default_factory=list)


def normal_of(orientation: Any) -> Array | None:
    """The unit normal of a plane (row direction x column direction), or None where the six values make no plane."""
    values = np.asarray(orientation, np.float64)
    if values.shape != (6,) or not np.isfinite(values).all():
        return None
    row, column = values[:3], values[3:]
    if abs(np.linalg.norm(row) - 1) > 1e-2 or abs(np.linalg.norm(column) - 1) > 1e-2 or abs(row @ column) > 1e-2:
        return None
    normal = np.cross(row, column)
    return np.asarray(normal / np.linalg.norm(normal), np.float64)


def placed(rows: list[dict[str, Any]]) -> Array | None:
    """(n, 3) positions of the rows of a scan, mm; None where one is missing or makes no place."""
    found = [row["image_position"] for row in rows]
    if not all(position is not None and len(position) == 3 for position in found):
        return None
    positions = np.array(found, np.float64)
    return positions if np.isfinite(positions).all() else None


def stack(positions: Array, normal: Array, names: list[str], *, fallback: float | None = None) -> Stack:
    """Order slices and judge their distances.

    Parameters
    ----------
    positions : (n, 3) array
        LPS mm, finite.
    normal : (3,) array
        Unit vector.
    names : list of str
        What findings call each slice.
    fallback : float, optional
        Distance in mm for a single slice.
    """
    result = Stack()
    depth = positions @ normal
    by_depth = np.argsort(depth, kind="stable")
    ordered = by_depth.tolist()
    if (np.diff(depth[by_depth]) > ABSOLUTE_MM).all():
        result.order, result.repeats = ordered, [[index] for index in ordered]
    else:
        for index in ordered:
            same = result.order and abs(depth[index] - depth[result.order[-1]]) <= ABSOLUTE_MM
            if same and np.abs(positions[index] - positions[result.order[-1]]).max() <= 0.05:
                result.repeats[-1].append(index)
            else:
                result.order.append(index)
                result.repeats.append([index])
    result.depths = depth[result.order]
    if len(result.order) == 1:
        result.step = normal * (fallback or 1.0)
        return result
    gaps = np.diff(result.depths)
    usual = _usual(gaps)
    off = np.abs(gaps - usual) > RELATIVE * usual + ABSOLUTE_MM
    if off.any():
        result.findings.append(_spacing_finding(gaps, usual, off, [names[i] for i in result.order]))
        result.step = normal * usual
    else:
        result.step = normal * float(gaps.mean())
    _shear(result, positions, normal, usual, [names[i] for i in result.order])
    return result


def _usual(gaps: Array) -> float:
    """The most frequent distance (within the tolerance); the smallest of equally frequent ones."""
    ordered = np.sort(gaps)
    reach = ordered * (1 + RELATIVE) + ABSOLUTE_MM
    counts = np.searchsorted(ordered, reach, side="right") - np.arange(len(ordered))
    first = int(np.argmax(counts))
    return float(np.median(ordered[first : first + counts[first]]))


def _spacing_finding(gaps: Array, usual: float, off: npt.NDArray[np.bool_], names: list[str]) -> Finding:
    where = np.flatnonzero(off)
    multiples = gaps[where] / usual
    whole = np.rint(multiples)
    missing = bool(((whole >= 2) & (np.abs(multiples - whole) <= 2 * RELATIVE * whole)).all())
    worst = int(where[np.argmax(np.abs(gaps[where] - usual))])
    details = {
        "usual_mm": round(usual, 4),
        "gaps_mm": [round(float(gap), 4) for gap in gaps[where]],
        "after": [names[i] for i in where],
        "before": [names[i + 1] for i in where],
    }
    between = f"between {names[worst]} and {names[worst + 1]}"
    if missing:
        count = int((whole - 1).sum())
        text = f"{count} slice(s) missing: {gaps[worst]:.3f} mm {between}, {usual:.3f} mm elsewhere"
        return Finding("missing-slice", text, names[worst], {**details, "missing": count})
    text = (
        f"{len(where)} of {len(gaps)} distances differ from the usual {usual:.3f} mm; "
        f"they span {gaps.min():.3f} to {gaps.max():.3f} mm, the largest difference is {gaps[worst]:.3f} mm {between}"
    )
    return Finding("uneven-spacing", text, names[worst], details)


def _shear(result: Stack, positions: Array, normal: Array, usual: float, names: list[str]) -> None:
    """Slices that drift within their plane: a sheared step if they do so evenly, else a finding."""
    ordered = positions[result.order]
    offsets = ordered - ordered[0]
    inplane = offsets - np.outer(offsets @ normal, normal)
    span = float(result.depths[-1] - result.depths[0])
    drift = inplane[-1] / span  # mm a mm
    if (
        np.abs(inplane).max() <= max(SHEAR * usual, ABSOLUTE_MM) * max(1.0, span / usual)
        and np.linalg.norm(drift) <= SHEAR
    ):
        return
    rest = np.abs(inplane - np.outer(result.depths - result.depths[0], drift)).max(axis=1)
    if rest.max() > max(0.05 * usual, 0.05):
        worst = int(np.argmax(rest))
        text = f"{names[worst]} is shifted {rest[worst]:.3f} mm within its plane against the line of the other slices"
        result.findings.append(
            Finding("uneven-spacing", text, names[worst], {"shift_mm": round(float(rest[worst]), 4)})
        )
        return
    angle = float(np.degrees(np.arctan(np.linalg.norm(drift))))
    result.step = result.step + drift * float(np.linalg.norm(result.step))
    text = (
        f"each slice is shifted {np.linalg.norm(drift) * usual:.3f} mm within its plane: a tilt of {angle:.2f} degrees"
    )
    result.findings.append(Finding("gantry-tilt", text, "", {"degrees": round(angle, 4)}))


def affine_of(rows: list[dict[str, Any]]) -> tuple[Array, Array | None]:
    """The affine of slices in order, and their depths along the normal; of `scan`'s rows.

    Unknown positions, orientation or spacing are 0, the identity and 1 mm: callers have refused them or accepted that.
    """
    first = rows[0]
    spacing = spacing_of(first)
    orientation = np.asarray(first["image_orientation"] or (1, 0, 0, 0, 1, 0), np.float64)
    normal = normal_of(orientation)
    if normal is None:
        orientation, normal = np.array([1.0, 0, 0, 0, 1, 0]), np.array([0.0, 0, 1])
    fallback = first["spacing_between_slices"] or first["thickness"] or 1.0
    positions = placed(rows)
    if positions is None:
        return affine_from_parts(orientation, spacing, normal * abs(fallback), np.zeros(3)), None
    found = stack(positions, normal, [str(i) for i in range(len(rows))], fallback=abs(fallback))
    return affine_from_parts(orientation, spacing, found.step, positions[found.order[0]]), found.depths


def affine_from_parts(orientation: Array, spacing: tuple[float, float], step: Array, origin: Array) -> Array:
    """4x4: (k, j, i, 1) to LPS mm; `spacing` is (between rows, between columns)."""
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = orientation[3:] * spacing[0]
    affine[:3, 2] = orientation[:3] * spacing[1]
    affine[:3, 3] = origin
    return affine


def spacing_of(row: dict[str, Any]) -> tuple[float, float]:
    """(between rows, between columns) mm: the patient's plane, else the detector's, else 1 mm."""
    for name in ("pixel_spacing", "imager_pixel_spacing"):
        values = row[name]
        if values is not None and len(values) == 2 and all(np.isfinite(v) and v > 0 for v in values):
            return float(values[0]), float(values[1])
    return 1.0, 1.0
