"""Frames of one file as a volume: functional groups of enhanced objects, dose grids, plain frame lists."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..findings import Finding
from . import _native
from ._geometry import affine_from_parts, normal_of, spacing_of, stack
from ._layout import Layout
from ._units import ValueMap, value_map

__all__ = ["Frames", "frames_of"]


@dataclass
class Frames:
    """Frames in the order of the volume, leading indices first."""

    order: list[int]
    maps: list[ValueMap]
    affine: Any
    depths: Any = None
    leading: tuple[int, ...] = ()
    dims: tuple[str, ...] = ()
    coords: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def frames_of(row: dict[str, Any], layout: Layout) -> Frames:
    """Order and geometry of a multi-frame file's frames."""
    if row["multi_frame"]:
        return _enhanced(row, layout)
    base = value_map(row, layout.path)
    maps = [base] * layout.frames
    order = list(range(layout.frames))
    orientation = row["image_orientation"]
    normal = None if orientation is None else normal_of(orientation)
    offsets = row["grid_frame_offsets"]
    if (
        normal is not None
        and row["image_position"] is not None
        and offsets is not None
        and len(offsets) == layout.frames
    ):
        return _dose_grid(row, order, maps, normal)
    step = abs(row["spacing_between_slices"] or row["thickness"] or 1.0)
    usable = np.array([1.0, 0, 0, 0, 1, 0]) if normal is None else np.asarray(orientation, np.float64)
    axis = np.array([0.0, 0, 1]) if normal is None else normal
    origin = np.zeros(3) if row["image_position"] is None else np.asarray(row["image_position"], np.float64)
    affine = affine_from_parts(usable, spacing_of(row), axis * step, origin)
    finding = Finding("no-geometry", "the frames have no positions", Path(layout.path).name)
    return Frames(order, maps, affine, findings=[finding])


def _dose_grid(row: dict[str, Any], order: list[int], maps: list[ValueMap], normal: Any) -> Frames:
    """RT dose (PS3.3 C.8.8.3.2): offsets along the normal, from 0 or from the first frame's own coordinate."""
    offsets = np.asarray(row["grid_frame_offsets"], np.float64)
    origin = np.asarray(row["image_position"], np.float64)
    offsets = offsets - offsets[0]
    orientation = np.asarray(row["image_orientation"], np.float64)
    names = [f"frame {i + 1}" for i in order]
    found = stack(origin + np.outer(offsets, normal), normal, names)
    affine = affine_from_parts(orientation, spacing_of(row), found.step, origin + normal * offsets[found.order[0]])
    return Frames(found.order, maps, affine, found.depths, findings=found.findings)


def _enhanced(row: dict[str, Any], layout: Layout) -> Frames:
    try:
        groups = _native.groups(os.fsencode(layout.path))
    except RuntimeError as error:
        raise FormatError(f"damaged-file: {error}") from error
    count = int(groups["frames"])
    if count < layout.frames:
        raise FormatError(f"damaged-file: {count} functional groups for {layout.frames} frames")
    count = layout.frames
    positions = groups["position"].reshape(-1, 3)[:count]
    orientations = groups["orientation"].reshape(-1, 6)[:count]
    spacings = groups["spacing"].reshape(-1, 2)[:count]
    numbers = dict(
        zip(_native.GROUP_NUMBERS, groups["numbers"].reshape(-1, len(_native.GROUP_NUMBERS))[:count].T, strict=True)
    )
    maps = _maps(numbers, row, layout)
    name = Path(layout.path).name
    normal = normal_of(orientations[0])
    if normal is None or not np.isfinite(positions).all() or not np.isfinite(spacings).all():
        affine = affine_from_parts(np.array([1.0, 0, 0, 0, 1, 0]), spacing_of(row), np.array([0.0, 0, 1]), np.zeros(3))
        text = "frames lack positions, orientation or pixel spacing"
        return Frames(list(range(count)), maps, affine, findings=[Finding("no-geometry", text, name)])
    findings = []
    if np.abs(orientations - orientations[0]).max() > 1e-3:
        raise FormatError("mixed-attributes: the frames of one file have different orientations")
    if np.abs(spacings - spacings[0]).max() > 1e-6:
        raise FormatError("mixed-attributes: the frames of one file have different pixel spacings")
    thickness = numbers["thickness"][0]
    fallback = row["spacing_between_slices"] or (float(thickness) if np.isfinite(thickness) else None)
    found = stack(positions, normal, [f"frame {i + 1}" for i in range(count)], fallback=fallback)
    findings += found.findings
    affine = affine_from_parts(
        orientations[0], (float(spacings[0, 0]), float(spacings[0, 1])), found.step, positions[found.order[0]]
    )
    order, axes = _leading(found.repeats, groups, numbers, count, findings)
    return Frames(
        order,
        [maps[i] for i in order],
        affine,
        found.depths,
        tuple(len(values) for _, values in axes),
        tuple(axis for axis, _ in axes),
        dict(axes),
        findings,
    )


def _maps(numbers: dict[str, Any], row: dict[str, Any], layout: Layout) -> list[ValueMap]:
    slopes, intercepts = numbers["slope"], numbers["intercept"]
    if not np.isfinite(slopes).any():
        return [value_map(row, layout.path)] * len(slopes)
    if (slopes == 0).any():
        raise FormatError("mixed-attributes: the rescale slope of a frame is zero")
    return [
        ValueMap(float(s) if np.isfinite(s) else 1.0, float(i) if np.isfinite(i) else 0.0)
        for s, i in zip(slopes, intercepts, strict=True)
    ]


def _leading(
    repeats: list[list[int]], groups: dict[str, Any], numbers: dict[str, Any], count: int, findings: list[Finding]
) -> tuple[list[int], list[tuple[str, tuple[Any, ...]]]]:
    """Frames at the same position told apart by type, b-value, echo and time, where those make a full grid."""
    if all(len(group) == 1 for group in repeats):
        return [group[0] for group in repeats], []
    columns: dict[str, list[Any]] = {
        "type": [value.decode("ascii", "replace") for value in groups["types"][:count]],
        "b": numbers["b_value"].tolist(),
        "echo": numbers["echo_time"].tolist(),
        "t": numbers["temporal_index"].tolist(),
    }
    axes = {name: _distinct(values) for name, values in columns.items()}
    used = [name for name in axes if len(axes[name]) > 1]
    grid: dict[tuple[Any, ...], int] = {}
    clash = False
    for place, group in enumerate(repeats):
        for frame in group:
            key = (*(_key(columns[name][frame]) for name in used), place)
            clash |= key in grid
            grid[key] = frame
    size = len(repeats) * int(np.prod([len(axes[name]) for name in used], dtype=np.int64))
    if not clash and len(grid) == size == sum(map(len, repeats)):
        keys: list[tuple[Any, ...]] = [()]
        for name in used:
            keys = [(*key, _key(value)) for key in keys for value in axes[name]]
        return [grid[(*key, place)] for key in keys for place in range(len(repeats))], [
            (n, tuple(axes[n])) for n in used
        ]
    by_index = _by_dimension(repeats, groups)
    if by_index is not None:
        return by_index, [("t", tuple(range(len(repeats[0]))))]
    text = f"{sum(len(g) - 1 for g in repeats)} frames lie at the position of another, and no element tells them apart"
    findings.append(Finding("duplicate-position", text, f"frame {next(g for g in repeats if len(g) > 1)[1] + 1}"))
    return [group[0] for group in repeats], []


def _by_dimension(repeats: list[list[int]], groups: dict[str, Any]) -> list[int] | None:
    """As many frames at each position: in the order of their dimension indices, else of their numbers."""
    if len({len(group) for group in repeats}) != 1:
        return None
    dimensions = groups["dimensions"]
    ordered = [sorted(group, key=lambda i: (tuple(dimensions[i]), i)) for group in repeats]
    return [group[k] for k in range(len(ordered[0])) for group in ordered]


def _key(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value


def _distinct(values: list[Any]) -> list[Any]:
    kinds = {_key(value) for value in values}
    return sorted(kinds, key=lambda value: (value is not None, value if value is not None else 0))
