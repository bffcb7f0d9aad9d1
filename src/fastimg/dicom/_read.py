"""A series as one volume in modality units."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import _arrays, _gpu
from .._arrays import choice, thread_count
from ..errors import ArgumentError, FormatError, GeometryError
from ..findings import CODES, Finding
from ..image import Image
from ._decode import decode_slices
from ._flat import described, is_flat
from ._geometry import affine_of
from ._layout import Layout, layouts_of
from ._multiframe import frames_of, frames_of_files
from ._padding import Range, padded, padding_of
from ._real_world import PARAMETRIC_MAP, check_wanted, chosen_maps, units_of
from ._rows import rows_of
from ._scan import describe
from ._series import Series, group_rows
from ._slide_files import WHOLE_SLIDE
from ._suv import series_factor
from ._suv_enhanced import ENHANCED_PET, enhanced_factor
from ._units import ValueMap, exact_dtype, narrowed, unit_of, value_maps
from ._upload import decode_to_device, fits

__all__ = ["read"]

# Findings that change what a voxel's place or value means: `read` refuses them unless they are named in `tolerate`.
REFUSED = ("missing-slice", "uneven-spacing", "duplicate-position", "no-geometry")


@dataclass
class Volume:
    """What `read` puts together before it decodes."""

    layouts: list[Layout]  # one a slice
    frames: list[int]  # index in the slice's file
    maps: list[ValueMap]
    affine: Any
    leading: tuple[int, ...] = ()
    dims: tuple[str, ...] = ()
    coords: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    depths: Any = None  # positions along the normal, mm, of one leading index
    padding: list[Range | None] = field(default_factory=list)  # stored values that mean "no pixel", of each slice
    row: dict[str, Any] = field(default_factory=dict)
    unit: str | None = None  # of a real-world value map
    covered: list[Range] | None = None  # stored values that it covers, of each slice


def read(
    source: Any,
    *,
    dtype: str = "float32",
    tolerate: Iterable[str] = (),
    suv: bool = False,
    real_world: bool | int | str | None = None,
    threads: int | None = None,
    device: str = "cpu",
    out: Any = None,
) -> Image:
    """Read a series into one Image in modality units.

    Parameters
    ----------
    source : Series, folder, file or sequence of files
        What makes one volume; a folder that holds several image series is refused.
    dtype : {"float32", "exact"}
        "exact": the smallest integer type that holds what the stored bits can express after the rescale, exactly (where
        that is above 16 bits, what the values need); float32 where slope or intercept are not whole numbers.
    tolerate : iterable of str
        Codes of findings to accept. "uneven-spacing": slices are interpolated linearly onto an even grid of the usual
        distance. "missing-slice": missing slices are filled with the smallest value and marked as padding.
        "duplicate-position": the first instance is kept. "no-geometry": 1 mm for what is unknown.
    suv : bool
        PET: standardised uptake value by body weight instead of Bq/mL. Of an Enhanced PET Image: its real-world value map
        in SUV, or else the one in Bq/mL and the doses and times of its header.
    real_world : bool, int or str, optional
        Real-world values (PS3.3 C.7.6.16.2.11) instead of modality units: the file's first map (True), one by number, or
        one by its label or unit. Default: the first map of a parametric map, which has no other meaning; else none.
        Stored values that the map does not cover are marked as padding, with the finding "real-world-range".
    threads : int, optional
        Over slices. Default: `config.threads()`.
    device : {"cpu", "cuda"}
        Where the image shall live. On a CUDA device slices are decoded on the CPU (by nvImageCodec on the device, where it
        is installed and the compression is lossless), sent through pinned memory and rescaled there; the bits are the
        same.
    out : array, optional
        Of the result's shape and dtype; on the CPU only.

    Returns
    -------
    Image
        (z, y, x), slices along +normal; leading axes "t", "echo", "b" or "channel" where there are several. Unit "HU"
        for CT (what Rescale Type says, if not HU; "arbitrary" where that is "US", unless the image is original, no
        localizer and of one energy), "Bq/mL" or "SUV" for PET (by body weight; "SUVlbm", "SUVbsa" ... where the file
        says so), "Gy" for dose, else "arbitrary". Value = slope * stored + intercept in float64, rounded once; a
        modality LUT is applied. `padding` is True where the stored value is the header's padding value. Projections
        have `metadata["presentation_intent"]` and `metadata["spacing_source"]`: "detector" where millimetres are those
        of ImagerPixelSpacing; ultrasound has `metadata["regions"]` and spacing "regions" where it is calibrated; of a
        cine the frames are the axis "t" (ms). `metadata["findings"]` holds the findings as dictionaries;
        `metadata["frame_of_reference_uid"]` is what `read_masks` checks (a UID: drop it before an export). MONOCHROME1
        is about display: values are as stored. A gantry tilt is a sheared affine.

    Raises
    ------
    GeometryError
        A finding that was not tolerated; the message begins with its code.
    FormatError
        Pixels that cannot be decoded, or slices that differ in size or format; the message begins with the code.
    ArgumentError
        An option that is unknown, or that excludes another.
    """
    choice("dtype", dtype, ("float32", "exact"))
    if choice("device", device, ("cpu", "cuda")) == "cuda" and out is not None:
        raise ArgumentError("out: only with device='cpu'")
    accepted = frozenset([tolerate] if isinstance(tolerate, str) else tolerate)
    for code in accepted:
        if code not in CODES:
            raise ArgumentError(f"tolerate: {code!r} is not a finding's code")
    check_wanted(real_world)
    if suv and real_world:
        raise ArgumentError("read: suv and real_world exclude each other")
    count = thread_count(threads)
    series = _one_series(source, threads=threads)
    volume = _assemble(series, fresh=series is not source, threads=threads, suv=suv)
    _apply_real_world(volume, real_world)
    for finding in volume.findings:
        if finding.code in REFUSED and finding.code not in accepted:
            raise GeometryError(f"{finding}; pass tolerate={finding.code!r} to read it all the same")
        if finding.code == "mixed-attributes":
            raise FormatError(str(finding))
    codes = {finding.code for finding in volume.findings}
    uneven = bool(codes & {"missing-slice", "uneven-spacing"}) and volume.depths is not None
    image = _decode(volume, dtype=dtype, suv=suv, threads=count, device="cpu" if uneven else device, out=out)
    if uneven:
        from ._even import even

        image = even(image, volume.depths)
    return image if device == "cpu" else image.to_device(device)


def _named(paths: Sequence[Any], threads: int | None) -> list[Series]:
    """Volumes of files named one by one: those without a Series Instance UID are one series."""
    table = describe([_existing(path) for path in paths], threads=threads)
    uids = table["series_uid"]
    if uids.null_count:
        table = table.set_column(table.column_names.index("series_uid"), "series_uid", uids.fill_null(""))
    return group_rows(table, Path())


def _one_series(source: Any, *, threads: int | None) -> Series:
    if isinstance(source, Series):
        found = [source]
    else:
        if isinstance(source, (str, os.PathLike)):
            if os.path.isdir(source):
                from ._series import series

                found = series(source, threads=threads)
            else:
                found = _named([source], threads)
        elif isinstance(source, Sequence) and len(source):
            found = _named(source, threads)
        else:
            raise ArgumentError(f"read: expected a Series, a folder, a file or files, got {type(source).__name__}")
        found = [one for one in found if one.kind == "image"]
        if not found:
            raise FormatError("not-image: no readable DICOM image in what was given")
    if len(found) > 1:
        listed = ", ".join(f"{one.modality or '?'} with {len(one.paths)} file(s)" for one in found[:6])
        raise ArgumentError(f"read: {len(found)} volumes ({listed} ...): choose one with dicom.series()")
    if found[0].kind != "image":
        raise FormatError(f"not-image: the series is of kind {found[0].kind!r}; masks are read by read_masks")
    return found[0]


def _existing(path: Any) -> str:
    if not os.path.isfile(path):
        raise ArgumentError(f"read: no file {os.path.basename(os.fspath(path))!r}")
    return str(os.fspath(path))


def _assemble(series: Series, *, fresh: bool, threads: int | None, suv: bool) -> Volume:
    """Layouts, value maps and geometry. A Series of an earlier scan is scanned anew: its files may have changed."""
    rows, findings = series.rows, list(series.findings)
    if not fresh:
        table = describe(series.paths, threads=threads)
        rows = rows_of(table)
        for again in group_rows(table, Path()):
            findings += [f for f in again.findings if f not in findings]
        rows = [described(row, path)[0] if is_flat(row) else row for row, path in zip(rows, series.paths, strict=True)]
    for row, path in zip(rows, series.paths, strict=True):
        if row["status"] != "image":
            name, why = os.path.basename(path), row["detail"] or "not an image"
            raise FormatError(f"{row['finding'] or 'not-image'}: {name}: {why}")
        if row["sop_class_uid"] == WHOLE_SLIDE:
            raise FormatError(f"not-image: {os.path.basename(path)} is a whole-slide image; open it with dicom.slide")
    layouts = layouts_of(rows, series.paths)
    if len(rows) > 1 and all(row["multi_frame"] for row in rows):
        volume = _enhanced_files(rows, layouts, findings)
    elif len(rows) == 1 and (rows[0]["multi_frame"] or layouts[0].frames > 1):
        volume = _multi_frame(rows[0], layouts[0], series)
    else:
        volume = _single_frames(rows, layouts, series)
        volume.findings = findings
    volume.row = rows[0]
    padding = {layout.path: padding_of(row, layout) for row, layout in zip(rows, layouts, strict=True)}
    volume.padding = [padding[layout.path] for layout in volume.layouts]
    if suv:
        _apply_suv(volume, rows)
    return volume


def _single_frames(rows: list[dict[str, Any]], layouts: list[Layout], series: Series) -> Volume:
    leading = tuple(len(values) for _, values in series.axes)
    count = int(np.prod(leading, dtype=np.int64))
    depth = len(rows) // count
    if count * depth != len(rows):
        raise FormatError("mixed-attributes: the leading axes do not divide the number of slices")
    affine, depths = affine_of(rows[:depth])
    return Volume(
        layouts=layouts,
        frames=[0] * len(rows),
        maps=value_maps(rows, series.paths),
        affine=affine,
        leading=leading,
        dims=tuple(name for name, _ in series.axes),
        coords=dict(series.axes),
        depths=depths,
    )


def _multi_frame(row: dict[str, Any], layout: Layout, series: Series) -> Volume:
    frames = frames_of(row, layout, series.frames)
    return Volume(
        layouts=[layout] * len(frames.order),  # frames of other stacks are left out
        frames=frames.order,
        maps=frames.maps,
        affine=frames.affine,
        leading=frames.leading,
        dims=frames.dims,
        coords=frames.coords,
        findings=[*series.findings, *frames.findings],
        depths=frames.depths,
    )


def _enhanced_files(rows: list[dict[str, Any]], layouts: list[Layout], findings: list[Finding]) -> Volume:
    """Several enhanced files that `series` found to be one volume."""
    frames = frames_of_files(rows, layouts)
    places = [(layout, frame) for layout in layouts for frame in range(layout.frames)]
    return Volume(
        layouts=[places[i][0] for i in frames.order],
        frames=[places[i][1] for i in frames.order],
        maps=frames.maps,
        affine=frames.affine,
        leading=frames.leading,
        dims=frames.dims,
        coords=frames.coords,
        findings=[*findings, *(finding for finding in frames.findings if finding not in findings)],
        depths=frames.depths,
    )


def _apply_suv(volume: Volume, rows: list[dict[str, Any]]) -> None:
    if volume.row["modality"] != "PT":
        raise ArgumentError(f"suv: only PET has it, the series is {volume.row['modality'] or 'of unknown modality'}")
    path = volume.layouts[0].path
    enhanced = volume.row["sop_class_uid"] == ENHANCED_PET
    if enhanced and "SUV" in units_of(path, volume.layouts[0].frames):
        _apply_real_world(volume, "SUV")
        return
    paths = dict.fromkeys(layout.path for layout in volume.layouts)
    # An enhanced file has a decay correction of its own.
    found = (
        {one: enhanced_factor(one) for one in paths} if enhanced else dict.fromkeys(paths, series_factor(rows, path))
    )
    if enhanced:
        _apply_real_world(volume, "Bq/mL")
        volume.unit = "SUV"
    for place, layout in enumerate(volume.layouts):
        factor, finding = found[layout.path]
        if factor is None:
            assert finding is not None
            raise FormatError(f"{finding.code}: {finding.message}")
        volume.maps[place] = volume.maps[place].scaled(factor)


def _apply_real_world(volume: Volume, wanted: bool | int | str | None) -> None:
    if wanted is None:
        wanted = volume.row["sop_class_uid"] == PARAMETRIC_MAP
    if wanted is False:
        return
    found = chosen_maps(volume.layouts, volume.frames, wanted)
    volume.maps = [one.map for one in found]
    volume.unit = found[0].unit
    covered = [(one.first, one.last) for one in found]
    limits = volume.layouts[0].limits
    if limits is None or any(low > limits[0] or high < limits[1] for low, high in covered):
        volume.covered = covered


def _decode(volume: Volume, *, dtype: str, suv: bool, threads: int, device: str, out: Any) -> Image:
    first = volume.layouts[0]
    for layout in volume.layouts:
        if (layout.rows, layout.columns, layout.samples) != (first.rows, first.columns, first.samples):
            raise FormatError("mixed-attributes: slices differ in rows, columns or samples")
    target = exact_dtype(volume.layouts, volume.maps) if dtype == "exact" else np.dtype(np.float32)
    depth = len(volume.layouts) // int(np.prod(volume.leading, dtype=np.int64))
    plane: tuple[int, ...] = (first.rows, first.columns)
    colour = first.samples > 1 or volume.maps[0].palette is not None
    if colour:
        return _colour(volume, depth, threads=threads, out=out)
    shape = (*volume.leading, depth, *plane)
    narrow = dtype == "exact" and target.itemsize > 2 and target.kind != "f"
    marks = volume.covered is not None or any(one is not None for one in volume.padding)
    if device == "cuda" and dtype == "float32" and not marks and fits(volume.layouts):
        array = _gpu.backend().xp.empty(shape, target)
        decode_to_device(volume.layouts, volume.frames, volume.maps, array.reshape(-1, *plane), threads)
    else:
        array = _arrays.result(None if narrow else out, shape, target, np.empty(0))
        slices = array.reshape(-1, *plane)
        decode_slices(volume.layouts, volume.frames, volume.maps, slices, threads)
    padding = None
    if marks:
        marked = padded(volume.layouts, volume.frames, volume.maps, slices, volume.padding, volume.covered)
        if volume.covered is not None:
            _told_range(volume, marked)
        padding = marked.reshape(-1, depth, *plane).all(axis=0)  # in every leading index
        padding = padding if padding.any() else None
    if narrow:
        array = narrowed(array)
        if out is not None:
            target_array = _arrays.result(out, shape, array.dtype, array)
            target_array[...] = array
            array = target_array
    return Image(
        array,
        volume.affine,
        dims=(*volume.dims, "z", "y", "x"),
        coords=volume.coords,
        unit=volume.unit or unit_of(volume.row, suv=suv),
        padding=padding,
        metadata=_metadata(volume),
    )


def _told_range(volume: Volume, marked: Any) -> None:
    assert volume.covered is not None
    beyond = int(marked.sum())
    if beyond:
        text = f"{beyond} voxels are padding or beyond {volume.covered[0][0]:g} to {volume.covered[0][1]:g}"
        name = os.path.basename(volume.layouts[0].path)
        volume.findings.append(Finding("real-world-range", text, name, {"voxels": beyond}))


def _colour(volume: Volume, depth: int, *, threads: int, out: Any) -> Image:
    """(channel, z, y, x) RGB, 8 bits as stored: colours have no modality unit."""
    from ._colour import colours

    array = colours(volume.layouts, volume.frames, volume.maps, threads)  # (slices, y, x, 3)
    shape = (*volume.leading, depth, *array.shape[1:])
    moved = np.ascontiguousarray(np.moveaxis(array.reshape(shape), -1, len(volume.leading)))
    if out is not None:
        target = _arrays.result(out, moved.shape, moved.dtype, moved)
        target[...] = moved
        moved = target
    return Image(
        moved,
        volume.affine,
        dims=(*volume.dims, "channel", "z", "y", "x"),
        coords={**volume.coords, "channel": ("red", "green", "blue")},
        unit="colour",
        metadata=_metadata(volume),
    )


def _metadata(volume: Volume) -> dict[str, Any]:
    """Plain values: no name, date or institution, and one UID, the frame of reference's, that masks are held against."""
    row = volume.row
    names = (
        "modality",
        "photometric",
        "body_part",
        "kernel",
        "manufacturer",
        "model",
        "thickness",
        "lossy",
        "frame_of_reference_uid",
        "presentation_intent",
        "spacing_source",
        "magnification",
        "regions",
    )
    kept = {name: row[name] for name in names if row.get(name) is not None}
    kept["findings"] = [Finding(f.code, f.message, f.where, f.details).to_dict() for f in volume.findings]
    return kept
