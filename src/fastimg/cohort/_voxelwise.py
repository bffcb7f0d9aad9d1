"""A user's own function of voxels over a whole cohort, chunk by chunk: case by case into another cohort."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError
from ..image import Image
from . import _shard
from ._group import GROUP, Frame, GroupWriter
from ._stream import blocks

if TYPE_CHECKING:
    from ._case import Case
    from ._cohort import Cohort

__all__ = ["derive", "map_voxels"]


def map_voxels(
    cohort: Cohort,
    function: Callable[..., Any],
    target: Cohort,
    *,
    masks: Sequence[str] = (),
    dtype: npt.DTypeLike = np.float32,
    unit: str | None = None,
    memory: int = 256 << 20,
    executor: Any = None,
    **options: Any,
) -> Iterator[tuple[str, str]]:
    """Apply a function of scalars to every voxel of every case; each result is a case of `target` with the same name.

    Parameters
    ----------
    cohort : Cohort
        Whose cases are read.
    function : callable
        Takes the image's voxel, then that of each of `masks`, and returns one scalar; written in the part of Python that
        Numba compiles, and importable by the workers.
    target : Cohort
        Another one, open for writing. Its cases have the voxels `function` returned, with the geometry, masks, padding and
        metadata of the case they were made of.
    masks : sequence of str, up to 3
        Names; cases that lack one are left out.
    dtype : dtype
        Of the result.
    unit : str, optional
        Of the result.
    memory : int
        Bytes of voxels held at a time by a worker, read and made, whatever the size of a case; but one row of chunks along
        x (about 32 x 32 voxels thick) at least.
    executor, options
        As for `map_cases`: workers, threads, states, on_progress, progress, on_error.

    Yields
    ------
    (case_id, "made" | "kept" | "left out")
        By case_id; "kept" was there already, made of the same voxels by the same function.

    Raises
    ------
    ArgumentError
        Before any work: the function cannot be compiled, or an argument is wrong.

    Notes
    -----
    Each result is committed whole, with a source that is a hash of the voxels it was made of and of the function; so it
    may be killed at any moment, and run again it goes on.
    """
    kind = np.dtype(dtype)
    if kind.name not in _shard.DTYPES:
        raise ArgumentError(f"dtype: must be one of {', '.join(_shard.DTYPES)}; got {kind}")
    if not callable(function):
        raise ArgumentError(f"function: must be callable, got {type(function).__name__}")
    names = tuple(masks)
    if isinstance(masks, str) or len(names) > 3 or not all(isinstance(name, str) for name in names):
        raise ArgumentError(f"masks: must be up to three names, got {masks!r}")
    if memory < 1:
        raise ArgumentError(f"memory: must be a positive number of bytes, got {memory!r}")
    if not target.writable or target.address[0] == cohort.address[0]:
        raise ArgumentError("target: must be another cohort, open with mode='r+'")
    work = _Work(function, target.address, names, kind.name, unit, memory)
    work.check(np.int16)
    return cohort.map(work, executor, **options)


def derive(
    writer: GroupWriter,
    body: dict[str, Any],
    case: Case,
    parts: Iterable[npt.NDArray[Any]],
    dtype: str,
    unit: str | None,
    memory: int,
) -> None:
    """Write the group of a case that is made of another one's, and complete the body of its manifest."""
    there = case.manifest["image"]
    shape, dims, chunks = there["shape"], there["dims"], there["chunks"]
    grid = Image(np.broadcast_to(np.uint8(0), shape), case.affine, dims=dims, coords=there["coords"], unit=unit)
    nodes = writer.headers(Frame.of(grid), case.mask_names, [(1, 1, 1)])

    def copied(node: str, entry: dict[str, Any]) -> dict[str, Any]:
        size = np.dtype(entry["dtype"]).itemsize
        regions = blocks(entry["shape"], entry["chunks"], size, memory)
        voxels = (case.part(entry, region, None) for region in regions)
        return writer.streamed(node, entry["shape"], entry["chunks"], entry["dtype"], dims[-3:], voxels, memory)

    entry = writer.streamed(f"{GROUP}/0", shape, chunks, dtype, dims, parts, memory)
    own = {
        "unit": unit,
        "affine": there["affine"],
        "dims": dims,
        "coords": there["coords"],
        "metadata": there["metadata"],
    }
    body["image"], body["digest"] = {**entry, **own}, entry["digest"]
    body["masks"] = {name: copied(f"{nodes[name]}/0", mask) for name, mask in case.manifest["masks"].items()}
    if case.manifest["padding"] is not None:
        body["padding"] = copied(f"{GROUP}/padding", case.manifest["padding"])


@dataclass(frozen=True)
class _Work:
    """What a worker does with a case."""

    function: Callable[..., Any]
    target: tuple[str, dict[str, Any]]
    masks: tuple[str, ...]
    dtype: str
    unit: str | None
    memory: int

    @property
    def scalar(self) -> Callable[..., Any]:
        """The Python function, also where a dispatcher of Numba was given."""
        return getattr(self.function, "py_func", self.function)

    def check(self, dtype: Any) -> None:
        """Compile, so that what cannot be compiled is told before any work."""
        from ..voxelwise import map_voxels as apply

        inputs = [np.zeros(1, dtype), *(np.zeros(1, np.uint8) for _ in self.masks)]
        apply(self.scalar, *inputs, dtype=self.dtype, threads=1)

    def __call__(self, case: Case) -> str:
        from ._cohort import Cohort

        if not case.has_voxels or any(name not in case.mask_names for name in self.masks):
            return "left out"
        target, source = Cohort.open(self.target[0], mode="r+", options=self.target[1]), self.source(case)
        if case.case_id in target and target[case.case_id].source == source:
            return "kept"
        target.add_derived(
            case,
            self.voxels(case),
            dtype=self.dtype,
            unit=self.unit,
            source=source,
            memory=self.memory,
            provenance={"made_of": case.digest, "function": getattr(self.scalar, "__qualname__", "function")},
        )
        return "made"

    def voxels(self, case: Case) -> Iterator[npt.NDArray[Any]]:
        from ..voxelwise import map_voxels as apply

        size = np.dtype(self.dtype).itemsize
        for _, arrays in case.blocks(masks=self.masks, memory=self.memory, extra=size):
            yield apply(self.scalar, *(arrays[name] for name in (None, *self.masks)), dtype=self.dtype)

    def source(self, case: Case) -> str:
        """A hash of the voxels it is made of, and of the function with the values that it holds."""
        digest = hashlib.sha256()
        entries = [case.digest, *(case.manifest["masks"][name]["digest"] for name in self.masks)]
        function = self.scalar
        code = getattr(function, "__code__", None)
        parts = [*entries, self.dtype, self.unit, *(_told(code) if code else [repr(function)])]
        for cell in getattr(function, "__closure__", None) or ():
            parts.append(repr(cell.cell_contents))
        for name in code.co_names if code else ():
            value = getattr(function, "__globals__", {}).get(name)
            if isinstance(value, int | float | complex | bool | tuple):  # Numba takes these as constants
                parts.append(f"{name}={value!r}")
        for part in parts:
            digest.update(f"{part}\n".encode())
        return digest.hexdigest()


def _told(code: CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield " ".join(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _told(constant)
        else:
            yield repr(constant)
