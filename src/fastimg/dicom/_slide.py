"""Whole-slide images: the levels of a pyramid as lazily decoded, chunked arrays."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import config
from .._arrays import thread_count
from ..errors import ArgumentError, FormatError
from ..findings import Finding
from ._codecs import to_rgb
from ._decode import stored_slice
from ._scan import describe, scan
from ._slide_files import WHOLE_SLIDE, Instance, instance_of
from ._turns import in_turns

__all__ = ["Level", "Slide", "slide"]

CACHE = 64 << 20  # bytes of decoded tiles that a level keeps


def slide(source: Any, *, release: Collection[str] = (), threads: int | None = None) -> Slide:
    """Open a whole-slide image (VL Whole Slide Microscopy); no pixel is decoded.

    Parameters
    ----------
    source : folder, file, files, Series or sequence of Series
        The instances of one slide: all levels of the pyramid, in as many files as they are in. Files of other kinds are
        passed over.
    release : collection of str
        "label" keeps the label and overview images, which may show the patient's name; else they are dropped, with the
        finding "slide-label".
    threads : int, optional
        Over tiles. Default: `config.threads()`.

    Returns
    -------
    Slide
        Its `levels` are arrays that read only the tiles that a slice touches.

    Raises
    ------
    FormatError
        No whole-slide image, several slides, or tiles whose places make no sense.
    """
    rows, paths = _rows(source, threads)
    findings: list[Finding] = []
    instances, kept = [], []
    for row, path in zip(rows, paths, strict=True):
        if row["sop_class_uid"] != WHOLE_SLIDE or row["status"] != "image":
            continue
        words = set((row["image_type"] or "").upper().replace("\\", " ").split())
        if words & {"LABEL", "OVERVIEW"} and "label" not in release:
            findings.append(Finding("slide-label", "", os.path.basename(path)))
            continue
        kept.append(row)
        instances.append(instance_of(row, path))
    if not instances:
        raise FormatError("not-image: no whole-slide image in what was given")
    slides = {row["study_uid"] or "" for row in kept}, {row["frame_of_reference_uid"] or "" for row in kept}
    if max(map(len, slides)) > 1:
        raise FormatError("mixed-attributes: the files belong to several slides (study or frame of reference differ)")
    return Slide(instances, findings, thread_count(threads))


def _rows(source: Any, threads: int | None) -> tuple[list[dict[str, Any]], list[str]]:
    if hasattr(source, "rows") and hasattr(source, "files"):
        return list(source.rows), [str(path) for path in source.files]
    if isinstance(source, str | os.PathLike):
        if os.path.isdir(source):
            rows = scan(source, threads=threads).to_pylist()
            return rows, [str(Path(source) / row["path"]) for row in rows]
        source = [source]
    if not isinstance(source, Sequence) or not source:
        raise ArgumentError(f"slide: expected a folder, a file, files or a Series, got {type(source).__name__}")
    if hasattr(source[0], "rows"):
        parts = [_rows(one, threads) for one in source]
        return [row for rows, _ in parts for row in rows], [path for _, paths in parts for path in paths]
    missing = [path for path in source if not os.path.isfile(path)]
    if missing:
        raise ArgumentError(f"slide: no file {os.path.basename(os.fspath(missing[0]))!r}")
    return describe(source, threads=threads).to_pylist(), [os.fspath(path) for path in source]


class Slide:
    """A whole-slide image.

    Attributes
    ----------
    levels : list of Level
        From the finest to the coarsest. A thumbnail is the level of its size.
    labels : list of Level
        Label and overview images, where they were released.
    findings : list of Finding
    """

    def __init__(self, instances: list[Instance], findings: list[Finding], threads: int) -> None:
        groups: dict[Any, list[Instance]] = defaultdict(list)
        labels = []
        for one in instances:
            if one.flavour in ("LABEL", "OVERVIEW"):
                labels.append([one])
            else:
                groups[one.size].append(one)
        ordered = sorted(groups.values(), key=lambda group: -group[0].size[0] * group[0].size[1])
        self.findings = findings
        self.levels = [Level(group, findings, threads) for group in ordered]
        self.labels = [Level(group, findings, threads) for group in labels]
        for level in self.levels:
            level.downsample = self.levels[0].size[0] / level.size[0]

    def level(self, spacing: float) -> Level:
        """The coarsest level that is at least as fine as `spacing` mm between pixels; the finest where none is."""
        fine = [level for level in self.levels if max(level.spacing) <= spacing * (1 + 1e-3)]
        return fine[-1] if fine else self.levels[0]

    def store(self) -> Any:
        """A read-only zarr store: an OME-Zarr (0.5) group with one array a level, whose chunks are decoded when read."""
        from ._slide_zarr import SlideStore

        return SlideStore(self)

    def __repr__(self) -> str:
        return f"<Slide: {len(self.levels)} levels, {' '.join('x'.join(map(str, one.size)) for one in self.levels)}>"


class Level:
    """One level of a pyramid: an array that is decoded tile by tile when it is sliced.

    It has what dask.array.from_array and NumPy ask for (`shape`, `dtype`, `ndim`, `chunks`, slicing, `__array__`); every
    slice returns a NumPy array. Tiles that a sparse level does not have are filled with `fill`.

    Attributes
    ----------
    shape, dims : tuple
        (y, x, channel) for colour and (y, x) for one sample; before them "path" and "plane" where there are several
        optical paths or focal planes.
    chunks : tuple of int
        Of a tile, in the axes of `shape`.
    size : (int, int)
        Rows and columns.
    spacing : (y, x) mm
    origin : (x, y) mm
        Of the first pixel in the slide's coordinate system.
    orientation : tuple of 6 floats
        Directions of a row and of a column in the slide's coordinate system (PS3.3 C.8.12.4).
    downsample : float
        How many rows of the finest level are one of this.
    paths : list of str
        Identifiers of the optical paths.
    fill : int
        Of pixels without a tile; 255 (white, as empty glass) for colour, 0 else. May be set.
    """

    def __init__(self, instances: list[Instance], findings: list[Finding], threads: int) -> None:
        first = instances[0]
        for one in instances[1:]:
            same = (one.tile, one.layout.samples, one.layout.dtype) == (
                first.tile,
                first.layout.samples,
                first.layout.dtype,
            )
            if not same:
                raise FormatError("mixed-attributes: the files of one level differ in the size or the format of tiles")
        self._instances = instances
        self._threads = threads
        self._tile = first.tile
        self.size = first.size
        self.spacing, self.origin, self.orientation = first.spacing, first.origin, first.orientation
        self.downsample = 1.0
        self.dtype = first.layout.dtype
        self.paths = list(dict.fromkeys(name for one in instances for name in one.paths))
        self._planes = max(one.planes for one in instances)
        self._samples = first.layout.samples
        self.fill = 255 if self._samples == 3 and self.dtype == np.uint8 else 0
        lead = [("path", len(self.paths)), ("plane", self._planes)]
        self._lead = [(name, count) for name, count in lead if count > 1]
        tail = ("channel",) if self._samples > 1 else ()
        self.dims = (*(name for name, _ in self._lead), "y", "x", *tail)
        channels = (self._samples,) if self._samples > 1 else ()
        self.shape = (*(count for _, count in self._lead), *self.size, *channels)
        self.chunks = (*(1 for _ in self._lead), *self._tile, *channels)
        self._frames, loose = self._places()
        self._loose = np.array(loose, np.int64).reshape(-1, 6)  # tiles that lie beside the grid
        self._cache: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._lock = threading.Lock()
        count = len(self.paths) * self._planes * self.grid[0] * self.grid[1]
        absent = count - len(self._frames)
        if absent and all(one.full for one in instances) and not loose:
            text = f"{absent} of {count} tiles of the level {self.size[0]}x{self.size[1]} are absent"
            findings.append(Finding("missing-tiles", text, os.path.basename(first.layout.path), {"count": absent}))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles down and across."""
        return -(-self.size[0] // self._tile[0]), -(-self.size[1] // self._tile[1])

    def _places(self) -> tuple[dict[tuple[int, int, int, int], tuple[int, int]], list[tuple[int, ...]]]:
        """(path, plane, tile row, tile column) -> (instance, frame); tiles beside the grid apart."""
        found: dict[tuple[int, int, int, int], tuple[int, int]] = {}
        loose: list[tuple[int, ...]] = []
        down, across = self.grid
        for number, one in enumerate(self._instances):
            here = [self.paths.index(name) for name in one.paths]
            if one.where is None:
                # PS3.3 C.7.6.17.3: columns fastest, then rows, focal planes, optical paths.
                for frame in range(one.layout.frames):
                    rest, column = divmod(frame + one.first, across)
                    rest, row = divmod(rest, down)
                    path, plane = divmod(rest, one.planes)
                    if path < len(here):
                        found[here[path], plane, row, column] = number, frame
                continue
            for frame, (path, plane, top, left) in enumerate(one.where.tolist()):
                if top % self._tile[0] or left % self._tile[1] or top < 0 or left < 0:
                    loose.append((here[path], plane, top, left, number, frame))
                else:
                    found[here[path], plane, top // self._tile[0], left // self._tile[1]] = number, frame
        return found, loose

    # tiles ------------------------------------------------------------------------------------------------------------

    def has_tile(self, row: int, column: int, *, path: int = 0, plane: int = 0) -> bool:
        """Whether the level holds this tile; a sparse level leaves out empty glass."""
        return (path, plane, row, column) in self._frames

    def tile(self, row: int, column: int, *, path: int = 0, plane: int = 0) -> Any:
        """One tile in its full size, as its frame is stored (RGB for colour); ArgumentError where there is none."""
        place = self._frames.get((path, plane, row, column))
        if place is None:
            raise ArgumentError(f"tile: the level has no tile {row}, {column} (its grid is {self.grid})")
        return self._decoded(*place).copy()

    def _decoded(self, number: int, frame: int) -> Any:
        key = number, frame
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        one = self._instances[number]
        layout = one.layout
        if layout.encapsulated and layout.frames > 1:
            with self._lock:
                one.spans.setdefault(layout.path, None)
                if one.spans[layout.path] is None:
                    one.spans[layout.path] = layout.spans()
        pixels = stored_slice(layout, frame, one.spans)
        if layout.photometric in ("YBR_FULL", "YBR_FULL_422") and pixels.dtype == np.uint8:
            pixels = to_rgb(pixels)
        pixels.setflags(write=False)
        with self._lock:
            self._cache[key] = pixels
            while len(self._cache) * pixels.nbytes > CACHE and len(self._cache) > 1:
                self._cache.popitem(last=False)
        return pixels

    # slices -----------------------------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        wanted = self._indices(key)
        lead = [np.arange(count) for count in (len(self.paths), self._planes)]
        for axis, (name, _) in enumerate(self._lead):
            lead[0 if name == "path" else 1] = np.atleast_1d(wanted[axis])
        at = len(self._lead)
        rows, columns = np.atleast_1d(wanted[at]), np.atleast_1d(wanted[at + 1])
        channels = (self._samples,) if self._samples > 1 else ()
        shape = (len(lead[0]), len(lead[1]), len(rows), len(columns), *channels)
        size = int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize
        if size > config.memory_limit():
            raise ArgumentError(
                f"Level: the slice would take {size / 1e9:.1f} GB, above the memory limit of "
                f"{config.memory_limit() / 1e9:.1f} GB; take a smaller one, or a coarser level"
            )
        out = np.full(shape, self.fill, self.dtype)
        if out.size:
            self._filled(out, lead, rows, columns)
        for axis, (name, _) in enumerate([("path", 0), ("plane", 0)]):
            if name not in self.dims:
                out = out[(slice(None),) * axis + (slice(0, 1),)]
        out = out.reshape(*(len(lead[0 if name == "path" else 1]) for name, _ in self._lead), *shape[2:])
        if channels:
            out = out[..., wanted[-1]]
        drop = tuple(axis for axis, index in enumerate(wanted[: at + 2]) if np.ndim(index) == 0)
        return out.squeeze(drop) if drop else out

    def _indices(self, key: Any) -> list[Any]:
        """For each axis the indices that are taken (ascending or descending), or one number."""
        parts = list(key) if isinstance(key, tuple) else [key]
        if sum(part is Ellipsis for part in parts) > 1 or len(parts) - (Ellipsis in parts) > self.ndim:
            raise ArgumentError(f"Level: {len(parts)} indices for {self.ndim} axes {self.dims}")
        if Ellipsis not in parts:
            parts.append(Ellipsis)
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (self.ndim - len(parts) + 1)
        found: list[Any] = []
        for part, length, name in zip(parts, self.shape, self.dims, strict=True):
            if isinstance(part, slice):
                found.append(np.arange(length)[part])
            elif isinstance(part, int | np.integer) and not isinstance(part, bool):
                if not -length <= part < length:
                    raise IndexError(f"Level: index {part} is out of bounds for axis {name!r} with size {length}")
                found.append(int(part) % length)
            else:
                raise ArgumentError(f"Level: only whole numbers, slices and ... are taken, got {type(part).__name__}")
        return found

    def _filled(self, out: Any, lead: list[Any], rows: Any, columns: Any) -> None:
        ys, xs = np.sort(rows), np.sort(columns)
        back = (
            slice(None, None, -1 if rows[0] > rows[-1] else 1),
            slice(None, None, -1 if columns[0] > columns[-1] else 1),
        )
        view = out[:, :, *back]
        height, width = self._tile
        jobs = []
        for a, path in enumerate(lead[0].tolist()):
            for b, plane in enumerate(lead[1].tolist()):
                for row in np.unique(ys // height).tolist():
                    for column in np.unique(xs // width).tolist():
                        place = self._frames.get((path, plane, row, column))
                        if place is not None:
                            jobs.append((view[a, b], row * height, column * width, *place))
                for _, _, top, left, number, frame in self._loose[
                    (self._loose[:, 0] == path) & (self._loose[:, 1] == plane)
                ].tolist():
                    if ys[-1] >= top and ys[0] < top + height and xs[-1] >= left and xs[0] < left + width:
                        jobs.append((view[a, b], top, left, number, frame))

        def one(job: int) -> None:
            target, top, left, number, frame = jobs[job]
            i, j = np.searchsorted(ys, [top, top + height]), np.searchsorted(xs, [left, left + width])
            if i[0] == i[1] or j[0] == j[1]:
                return
            pixels = self._decoded(number, frame)
            target[i[0] : i[1], j[0] : j[1]] = pixels[np.ix_(ys[i[0] : i[1]] - top, xs[j[0] : j[1]] - left)]

        # Loose tiles may overlap: the later frame is on top.
        in_turns(lambda: one, range(len(jobs)), 1 if len(self._loose) else self._threads)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """The whole level."""
        array = self[...]
        return array if dtype is None else array.astype(dtype, copy=False)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        micrometres = " x ".join(f"{1000 * value:g}" for value in self.spacing)
        return f"<Level {'x'.join(map(str, self.shape))} {self.dtype}, tiles {self._tile}, {micrometres} um>"
