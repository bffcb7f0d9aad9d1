"""One case of a cohort, as its manifest describes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, IntegrityError
from ..findings import Finding
from ..image import Image
from . import _shard
from ._features import read_features
from ._manifest import CASE, unpack
from ._root import Root
from ._schema import check_manifest
from ._stream import blocks

__all__ = ["Case", "read_manifest"]

MANIFEST = "manifest.json"


def read_manifest(case_id: str, data: bytes) -> dict[str, Any]:
    """The checked body of a case's manifest."""
    manifest = unpack(CASE, data, f"case {case_id}")
    try:
        check_manifest(manifest)
    except IntegrityError as error:
        raise IntegrityError(f"case {case_id}: {error}") from None
    if manifest["case_id"] != case_id:
        raise IntegrityError(f"case {case_id}: its manifest is that of another case")
    return manifest


class Case:
    """A case as it was when it was opened; voxels are read when asked for.

    Attributes
    ----------
    case_id : str
    state : "ok", "warned", "quarantined" or "failed"
    source : str or None
        Keyed hash of what the case was made from.
    digest : str or None
        "sha256:..." of the image's voxels; None for a case without voxels.
    metadata, provenance : dict
    root : object
        Where its files are.
    manifest : dict
        The body of its manifest, as it is on the disk.
    findings : list of Finding
    """

    __slots__ = ("_manifest", "_shards", "root")

    def __init__(self, root: Root, manifest: dict[str, Any]) -> None:
        self.root, self._manifest = root, manifest
        self._shards: dict[str, Any] = {}  # open files with their indexes

    def __reduce__(self) -> tuple[Any, ...]:
        return Case, (self.root, self._manifest)

    @property
    def manifest(self) -> dict[str, Any]:
        """The body of its manifest, as it is on the disk; not to be changed."""
        return self._manifest

    def same_as(self, body: dict[str, Any]) -> Case:
        """Itself, if a case of this manifest would hold the same; else an ArgumentError that it is in the way."""
        if self.source is None or (self.source, self.digest, self.state) != tuple(
            body[key] for key in ("source", "digest", "state")
        ):
            raise ArgumentError(
                f"case {self.case_id} exists already with other content; give replace=True to take its place"
            )
        return self

    @property
    def case_id(self) -> str:
        """Its name in the cohort."""
        return str(self._manifest["case_id"])

    @property
    def state(self) -> str:
        """ok, warned, quarantined or failed."""
        return str(self._manifest["state"])

    @property
    def source(self) -> str | None:
        """Keyed hash of what the case was made from."""
        return self._manifest["source"]

    @property
    def digest(self) -> str | None:
        """ "sha256:..." over dtype, shape and voxels; None for a case without voxels."""
        return self._manifest["digest"]

    @property
    def metadata(self) -> dict[str, Any]:
        """Plain values given at `add`."""
        return dict(self._manifest["metadata"])

    @property
    def provenance(self) -> dict[str, Any]:
        """How the case came to be: recipe, versions ..."""
        return dict(self._manifest["provenance"])

    @property
    def findings(self) -> list[Finding]:
        """What was found wrong with it."""
        return [Finding.from_dict(record) for record in self._manifest["findings"]]

    @property
    def features(self) -> dict[str, dict[str, float]]:
        """{mask: {feature: value}}; empty before `Cohort.set_features`."""
        return read_features(self.root, self.digest)

    @property
    def has_voxels(self) -> bool:
        """False for a case that was recorded without an image."""
        return self._manifest["image"] is not None

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., z, y, x)."""
        return tuple(self._image_entry()["shape"])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a voxel."""
        return np.dtype(str(self._image_entry()["dtype"]))

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """4x4, (k, j, i, 1) to LPS mm."""
        return np.array(self._image_entry()["affine"], np.float64)

    @property
    def mask_names(self) -> list[str]:
        """Names of the masks."""
        return list(self._manifest["masks"])

    @property
    def path(self) -> Path | str:
        """The OME-Zarr group, for zarr-python and viewers: a path, or a URL where the cohort is in an object store."""
        from ._group import GROUP

        self._image_entry()
        return self.root.address(GROUP)

    def store(self, *, decoded: bool = True) -> Any:
        """The OME-Zarr group as a read-only store for zarr-python, read and checked by the compiled reader.

        Parameters
        ----------
        decoded : bool
            Arrays look uncompressed to zarr-python, in chunks near 32^3, which the compiled reader decodes. False: the
            files as they are, and zarr-python decodes.

        Returns
        -------
        zarr.abc.store.Store

        Examples
        --------
        >>> import numpy as np, zarr, fastimg as fi, tempfile
        >>> c = fi.Cohort.create(tempfile.mkdtemp() + "/cohort")
        >>> case = c.add("case-1", fi.Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5)))
        >>> zarr.open_group(case.store(), mode="r")["0"][2, 3, 1:3].tolist()
        [56, 57]
        """
        from ._zarr import CaseStore

        self._image_entry()
        return CaseStore(self, decoded=decoded)

    def entries(self) -> dict[str, dict[str, Any]]:
        """The manifest's entries of all arrays: image, padding, then the masks by name; coarser levels behind each."""
        own = {name: self._manifest[name] for name in ("image", "padding") if self._manifest[name] is not None}
        own |= {f"masks/{name}": entry for name, entry in self._manifest["masks"].items()}
        found = {}
        for name, entry in own.items():
            found[name] = entry
            found |= {f"{name}/level {n}": level for n, level in enumerate(entry.get("levels", ()), 1)}
        return found

    def image(self, *, threads: int | None = None) -> Image:
        """The whole image, checked chunk by chunk.

        `threads` defaults to `config.threads()`.

        Raises
        ------
        IntegrityError
            A chunk is missing or differs from its checksum.
        ArgumentError
            The case has no voxels.
        """
        return self.read((), threads=threads)

    def read(self, slices: Any, mask: str | None = None, *, threads: int | None = None) -> Image:
        """A region of the image, or of a mask, with its place in the patient; only the chunks it touches are read.

        Parameters
        ----------
        slices : tuple of slice
            As NumPy takes them, (..., z, y, x), steps of 1; for a mask (z, y, x).
        mask : str, optional
            Read this mask instead of the image.
        threads : int, optional
            Default: `config.threads()`.

        Returns
        -------
        Image
            Of the stored dtype.
        """
        entry = self._image_entry()
        what = entry if mask is None else self._mask_entry(mask)
        region = _shard.region_of(slices, what["shape"])
        array = self.part(what, region, threads)
        affine = self.affine
        affine[:3, 3] += affine[:3, :3] @ [s.start for s in region[-3:]]
        if mask is not None:
            return Image(array, affine, unit="label")
        dims = entry["dims"]
        leading = dict(zip(dims[:-3], region[:-3], strict=True))
        coords = {name: values[leading[name]] for name, values in entry["coords"].items()}
        padding = self._manifest["padding"]
        hidden = None if padding is None else self.part(padding, region[-3:], threads).view(np.bool_)
        return Image(
            array, affine, dims=dims, coords=coords, unit=entry["unit"], padding=hidden, metadata=entry["metadata"]
        )

    def voxels(
        self, slices: Any, mask: str | None = None, *, level: int = 0, out: Any = None, threads: int | None = None
    ) -> npt.NDArray[Any]:
        """As `read`, without the geometry: the bare array, of a coarser level if asked for, in `out` where it is given.

        `slices`, `mask` and `threads` as in `Case.read`.
        """
        entry = self._level(self._image_entry() if mask is None else self._mask_entry(mask), level)
        return self.part(entry, _shard.region_of(slices, entry["shape"]), threads, out)

    @property
    def levels(self) -> int:
        """Of the pyramid; 1 without coarser ones."""
        return 1 + len(self._image_entry().get("levels", ()))

    def factors(self, level: int) -> tuple[int, int, int]:
        """How many voxels along z, y, x one of a level takes together."""
        entry = self._level(self._image_entry(), level)
        z, y, x = entry.get("factors", (1, 1, 1))
        return z, y, x

    def blocks(
        self, *, masks: Sequence[str] = (), memory: int = 256 << 20, extra: int = 0, threads: int | None = None
    ) -> Iterator[tuple[tuple[slice, ...], dict[str | None, npt.NDArray[Any]]]]:
        """The image block by block, for volumes larger than memory: (region, {None: voxels, mask: its voxels ...}).

        Parameters
        ----------
        masks : sequence of str
            Read beside the image; brought to its shape (along leading axes as views).
        memory : int
            Bytes of voxels held at a time; one row of chunks along x at least.
        extra : int
            Bytes a voxel that the caller makes of a block, counted too.
        threads : int, optional
            Default: `config.threads()`.

        Yields
        ------
        region, {None or mask: array}
        """
        entry = self._image_entry()
        marks = {name: self._mask_entry(name) for name in masks}
        voxel = extra + sum(np.dtype(e["dtype"]).itemsize for e in (entry, *marks.values()))
        for region in blocks(entry["shape"], entry["chunks"], voxel, memory):
            found: dict[str | None, npt.NDArray[Any]] = {None: self.part(entry, region, threads)}
            for name, own in marks.items():
                found[name] = np.broadcast_to(self.part(own, region[-3:], threads), found[None].shape)
            yield region, found

    def masks(self) -> Mapping[str, Image]:
        """The masks on the image's grid; each is read when asked for."""
        return _Masks(self)

    def _level(self, entry: dict[str, Any], level: int) -> dict[str, Any]:
        coarser = entry.get("levels", ())
        if not 0 <= level <= len(coarser):
            raise ArgumentError(
                f"level: case {self.case_id} has {1 + len(coarser)}, got {level!r}; Cohort.add makes more"
            )
        return coarser[level - 1] if level else entry

    def part(
        self, entry: dict[str, Any], region: tuple[slice, ...], threads: int | None, out: Any = None
    ) -> npt.NDArray[Any]:
        """A region (one slice an axis, within the shape) of one of `entries`, in `out` where it is given.

        `entry` is one of them; `threads` as in `Case.read`. Raises IntegrityError where a chunk is missing or differs
        from its checksum.
        """
        path = entry["path"]
        try:
            if path not in self._shards:
                self._shards[path] = self.root.shard(entry)
            return _shard.read(self._shards[path], entry, region, out=out, threads=threads)
        except IntegrityError as error:
            raise IntegrityError(f"case {self.case_id}: {error}") from None

    def _image_entry(self) -> dict[str, Any]:
        entry: dict[str, Any] | None = self._manifest["image"]
        if entry is None:
            raise ArgumentError(f"case {self.case_id} is {self.state} and has no voxels")
        return entry

    def _mask_entry(self, name: str) -> dict[str, Any]:
        entries: dict[str, dict[str, Any]] = self._manifest["masks"]
        if name not in entries:
            raise ArgumentError(
                f"case {self.case_id} has no mask {name!r}; it has {', '.join(map(repr, entries)) or 'none'}"
            )
        return entries[name]

    def __repr__(self) -> str:
        entry = self._manifest["image"]
        voxels = f"{'x'.join(map(str, entry['shape']))} {entry['dtype']}" if entry else "no voxels"
        return f"<Case {self.case_id}: {self.state}, {voxels}, {len(self._manifest['masks'])} masks>"


class _Masks(Mapping[str, Image]):
    def __init__(self, case: Case) -> None:
        self._case = case

    def __getitem__(self, name: str) -> Image:
        if name not in self._case.mask_names:
            raise KeyError(name)
        return self._case.read((), mask=name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._case.mask_names)

    def __len__(self) -> int:
        return len(self._case.mask_names)
