"""Cohort: cases on disk, each wholly there or absent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .. import __version__
from ..errors import ArgumentError
from ..findings import Finding
from ..image import Image
from . import _features, _map, _patches, _remove, _shard, _stored, _verify, _voxelwise
from ._bucket import Bucket, is_url
from ._case import Case
from ._files import Lock
from ._folder import Folder
from ._group import GroupWriter
from ._manifest import plain
from ._place import COHORT_FILE, Place

__all__ = ["Cohort"]


class Cohort:
    """A folder of cases: images, masks, metadata, findings and features, with an index.

    A case is wholly there and verified, or absent: it is written to a hidden folder, flushed to the disk, renamed.
    Several processes may write to one cohort at once. Every chunk of voxels carries a checksum; a missing or damaged
    one is an IntegrityError, never a wrong voxel.

    Parameters
    ----------
    path : path or URL
        As for `Cohort.create`. Make one with `Cohort.create` or `Cohort.open`.
    writable : bool
        Whether cases may be added and removed.
    options : mapping, optional
        As for `Cohort.create`.

    Examples
    --------
    >>> import numpy as np, fastimg as fi, tempfile
    >>> c = fi.Cohort.create(tempfile.mkdtemp() + "/cohort")
    >>> image = fi.Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), spacing=(2, 1, 1), unit="HU")
    >>> _ = c.add("case-1", image, {"lesion": image.array > 30}, {"site": "A"}, source="3f2a")
    >>> c["case-1"].read(np.s_[1:2, :2, :2]).array.tolist()
    [[[20, 21], [25, 26]]]
    >>> c.query("select site, count(*) as n from cases group by site").to_pylist()
    [{'site': 'A', 'n': 1}]
    """

    def __init__(
        self, path: str | os.PathLike[str], *, writable: bool, options: Mapping[str, Any] | None = None
    ) -> None:
        self.writable, self._options = writable, dict(options or {})
        self.path: Any = Path(path)  # a URL where it is in an object store
        self._place: Place
        if is_url(path):
            self._place = Bucket(str(path), self._options, writable=writable)
            self.path = self._place.path
        else:
            self._place = Folder(self.path, writable=writable)

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (self.path, self.writable, self._options)

    # making and opening -----------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        profile: str = "default",
        exist_ok: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> Cohort:
        """A new, empty cohort, open for writing.

        Parameters
        ----------
        path : path or URL
            A folder that does not exist or is empty; or an empty prefix of an object store, "s3://bucket/prefix".
        profile : "default", "hot" or "gpu"
            Compression: Blosc zstd with bitshuffle (small), Blosc lz4 with bitshuffle (quick to read), plain zstd
            (readable by nvCOMP).
        exist_ok : bool
            Open the cohort that is there already.
        options : mapping, optional
            Of the object store, as obstore takes them: endpoint, region, access_key_id ...; what is not given comes from
            the environment (AWS_ACCESS_KEY_ID ...). "allow_http": True lets voxels travel without TLS.

        Returns
        -------
        Cohort

        Raises
        ------
        ArgumentError
            An unknown profile, or a folder that is not empty.
        """
        if profile not in _shard.PROFILES:
            raise ArgumentError(f"profile: must be one of {', '.join(map(repr, _shard.PROFILES))}; got {profile!r}")
        body = {"codec": _shard.PROFILES[profile], "created": _stored.now(), "fastimg": __version__}
        if is_url(path):
            Bucket.make(str(path), options or {}, body, exist_ok=exist_ok)
            return cls(path, writable=True, options=options)
        folder = Path(path)
        if exist_ok and (folder / COHORT_FILE).exists():
            return cls.open(folder, mode="r+")
        Folder.make(folder, body)
        return cls(folder, writable=True)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        mode: Literal["r", "r+"] = "r",
        *,
        options: Mapping[str, Any] | None = None,
    ) -> Cohort:
        """A cohort that exists: "r" to read (nothing on the disk is touched), "r+" to write too; `options` as for
        `create`.

        Raises ArgumentError for another `mode`.
        """
        if mode not in ("r", "r+"):
            raise ArgumentError(f"mode: must be 'r' or 'r+', got {mode!r}")
        return cls(path, writable=mode == "r+", options=options)

    @property
    def address(self) -> tuple[str, dict[str, Any]]:
        """What another process gives to `open`: the absolute path, or the URL, and the options."""
        return str(self.path.absolute() if isinstance(self.path, Path) else self.path), dict(self._options)

    def lock(self) -> Lock:
        """For `with`: one run at a time on this cohort. A second one gets a RefusedError that names the first.

        It does not hinder `add` by others; it is an agreement between runs. Raises ArgumentError for an object store,
        which has no locks.
        """
        self._must_write("lock")
        if not isinstance(self.path, Path):
            raise ArgumentError("lock: an object store has no locks; commits there need none")
        return Lock(self.path / ".lock", f"cohort {self.path.name}")

    # writing ----------------------------------------------------------------------------------------------------------

    def add(
        self,
        case_id: str,
        image: Image,
        masks: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        source: str | None = None,
        findings: Iterable[Finding] = (),
        features: Mapping[str, Mapping[str, Any]] | None = None,
        provenance: Mapping[str, Any] | None = None,
        series: Iterable[Mapping[str, Any]] = (),
        replace: bool = False,
        listed: bool = True,
        levels: int = 1,
        threads: int | None = None,
    ) -> Case:
        """Store a case; when this returns, it is on the disk.

        Parameters
        ----------
        case_id : str
            1 to 64 of A-Z a-z 0-9 . _ - ; never a patient's identifier.
        image : Image
            Real numbers, in host memory.
        masks : mapping of name to Image or array, optional
            Whole numbers or bool, (z, y, x) on the image's grid.
        metadata : mapping, optional
            Plain values; those that are text, numbers or bool become columns of the index.
        source : str, optional
            Keyed hash of what the case was made from; `sources()` finds it again.
        findings : iterable of Finding
            The worst of them is the case's state.
        features : {mask: {feature: number}}, optional
        provenance : mapping, optional
            Plain values: recipe, versions ...
        series : iterable of mapping, optional
            What the case was made of, a row each of the index's table `series`: "series" (a pseudonym, never the UID),
            "modality", "kind" ("image" or "mask"), "image" (that of the series which a mask was drawn on, else None).
        replace : bool
            Take the place of a case of this name. Without it such a case is an error, unless it has the same source and
            the same voxels: then it stays and is returned.
        listed : bool
            Write the row of the index now. Without, it is written by whoever reads the index next, or with those of 63
            others: cheaper where many cases are added.
        levels : int
            Of the pyramid (OME-Zarr multiscales). From one to the next, voxels are halved in number along each axis but
            those of thick slices: means of the image, votes of masks.
        threads : int, optional
            Default: `config.threads()`.

        Returns
        -------
        Case
            As it is stored.

        Raises
        ------
        ArgumentError, GeometryError
            Before anything is written.
        FastimgError
            The disk is full, the folder is read-only ...: nothing of the case is left.
        """
        self._must_write("add")
        body = _stored.body_of(case_id, source, findings, metadata, provenance, series)
        write = _stored.writing(body, image, masks or {}, features, levels, threads)
        return self._place.commit(case_id, body, write, replace=replace, listed=listed)

    def add_derived(
        self,
        case: Case,
        parts: Iterable[npt.NDArray[Any]],
        *,
        dtype: npt.DTypeLike,
        source: str,
        unit: str | None = None,
        provenance: Mapping[str, Any] | None = None,
        memory: int = 256 << 20,
    ) -> Case:
        """Store new voxels for another cohort's case, block by block; the rest is the case's: name, grid, masks, metadata.

        Parameters
        ----------
        case : Case
            It takes the place of a case of its name.
        parts : iterable of arrays
            One for each of `case.blocks()`, in their order.
        dtype : dtype
            Of the parts.
        source : str
            As for `add`.
        unit, provenance
            Of the new voxels.
        memory : int
            Bytes of voxels held at a time.

        Returns
        -------
        Case
            As it is stored.
        """
        self._must_write("add_derived")
        body = _stored.body_of(
            case.case_id, source, case.findings, case.metadata, provenance, case.manifest.get("series", ())
        )

        def write(writer: GroupWriter) -> None:
            _voxelwise.derive(writer, body, case, parts, np.dtype(dtype).name, unit, memory)

        return self._place.commit(case.case_id, body, write, replace=True)

    def record(
        self,
        case_id: str,
        state: str,
        *,
        findings: Iterable[Finding],
        source: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
        series: Iterable[Mapping[str, Any]] = (),
        replace: bool = False,
        listed: bool = True,
    ) -> Case:
        """Store what is known of a case without voxels: quarantined or failed, and why.

        The parameters are as for `Cohort.add`; ArgumentError where `state` is neither "quarantined" nor "failed".
        """
        self._must_write("record")
        if state not in ("quarantined", "failed"):
            raise ArgumentError(f"state: must be 'quarantined' or 'failed', got {state!r}")
        body = _stored.body_of(case_id, source, findings, metadata, provenance, series)
        body["state"] = state
        return self._place.commit(case_id, body, lambda writer: None, replace=replace, listed=listed)

    def set_features(self, case_id: str, features: Mapping[str, Mapping[str, Any]]) -> None:
        """Store the features of a case, {mask: {feature: number}}, in place of those it has. `case_id` names it."""
        self._must_write("set_features")
        case = self[case_id]
        self._place.put_features(case_id, _features.pack_features(features, case.digest))

    def set_metadata(
        self, case_id: str, metadata: Mapping[str, Any], *, provenance: Mapping[str, Any] | None = None
    ) -> None:
        """Add these values to the metadata of a case, or put them in place of those of their names; voxels stay.

        `provenance` is added to in the same way. As with `add`, a kill leaves the old values or the new ones. `case_id`
        names it.
        """
        self._must_write("set_metadata")
        more, told = plain(dict(metadata), "metadata"), plain(dict(provenance or {}), "provenance")

        def change(body: dict[str, Any]) -> None:
            body["metadata"] = {**body["metadata"], **more}
            body["provenance"] = {**body["provenance"], **told}

        self._place.amend(case_id, change)

    def remove(self, case_ids: Iterable[str] = (), *, subjects: Iterable[str] = (), reason: str = "") -> list[str]:
        """Purge cases for good (withdrawal of consent, opt-out): voxels, masks, features and index rows.

        Tombstones keep them out: `add` and `record` of the same case_id, source or subject are a RefusedError from then
        on. A removal that a kill cuts short is ended by whoever opens the cohort for writing next.

        Parameters
        ----------
        case_ids : iterable of str
            Cases of the cohort.
        subjects : iterable of str
            All cases whose metadata key "subject" is one of these; it need not have any yet.
        reason : str
            Kept with the tombstone; no identifiers.

        Returns
        -------
        list of str
            The cases that were purged.
        """
        self._must_write("remove")
        return _remove.remove_cases(self._place, case_ids, subjects, reason)

    def removals(self) -> list[dict[str, Any]]:
        """What was removed (kind: subject, source or case_id), when and why; not whose it was."""
        return _remove.removals(self._place)

    def is_removed(self, *, subject: str | None = None, source: str | None = None, case_id: str | None = None) -> bool:
        """Whether one of these was removed and would be refused.

        `subject` and `source` as manifests hold them, `case_id` a case's name.
        """
        return _remove.is_removed(self._place, subject=subject, source=source, case_id=case_id)

    def _must_write(self, what: str) -> None:
        if not self.writable:
            raise ArgumentError(f"{what}: the cohort is open for reading; open it with mode='r+'")

    # reading ----------------------------------------------------------------------------------------------------------

    def __getitem__(self, case_id: str) -> Case:
        return self._place.case(case_id)

    def __contains__(self, case_id: object) -> bool:
        return isinstance(case_id, str) and self._place.has(case_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._column("case_id"))

    def __len__(self) -> int:
        with self._place.reader() as db:
            return int(db.execute("SELECT count(*) FROM cases").fetchone()[0])

    def cases(self, *, states: Sequence[str] = ("ok", "warned", "quarantined", "failed")) -> Iterator[Case]:
        """The cases of these states, by case_id."""
        for case_id, state in zip(self._column("case_id"), self._column("state"), strict=True):
            if state in states:
                yield self[case_id]

    @property
    def index(self) -> pa.Table:
        """One row a case, by case_id: case_id, state, source, digest, committed, shape, dtype, unit, masks, findings,
        bytes, and a column for each metadata key whose values are text, numbers or bool.

        `masks` and `findings` are JSON lists of names and codes. A metadata key that equals a fixed column's name is
        called metadata_NAME.
        """
        with self._place.reader() as db:
            return self._place.table(db)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """One SQL SELECT; `?` for parameters.

        Tables: `cases` (as `index`), `findings` (case_id, code, message), `series` (series, case_id, modality, kind, image:
        see `add`; a mask's series has a row for each case that it belongs to).

        It reads only: anything but SELECT is an ArgumentError. Counts and other aggregates of columns with simple
        conditions are computed column by column (3 ms for 100,000 cases), the rest by SQLite, with equal results. `sql`
        is the statement.
        """
        with self._place.reader() as db:
            return self._place.query(db, sql, parameters)

    def sources(self) -> dict[str, str]:
        """{source hash: case_id} of all cases, whatever their state."""
        with self._place.reader() as db:
            return dict(db.execute("SELECT source, case_id FROM cases WHERE source IS NOT NULL ORDER BY case_id DESC"))

    def subjects(self) -> dict[str, list[str]]:
        """{metadata key "subject": case_ids} of the cases that have one."""
        return _remove.subjects(self._place)

    def features(
        self, mask: str | None = None, *, names: Sequence[str] | None = None, cases: Sequence[str] | None = None
    ) -> pa.Table:
        """case_id, mask, then a float64 column for each feature; a row for each case and mask that has features.

        Parameters
        ----------
        mask : str, optional
            Rows of this mask alone.
        names : sequence of str, optional
            Columns of these features alone, of those that a row has.
        cases : sequence of str, optional
            Rows of these cases alone, in this order: a large table a part at a time.

        Returns
        -------
        pyarrow.Table
            Null where a case has no such feature.
        """
        chosen = self.cases() if cases is None else (self[case_id] for case_id in cases)
        return _features.features_table(
            (case.case_id, name, values if names is None else {n: values[n] for n in names if n in values})
            for case in chosen
            for name, values in case.features.items()
            if mask is None or name == mask
        )

    def _column(self, name: str) -> list[str]:
        with self._place.reader() as db:
            return [row[0] for row in db.execute(f"SELECT {name} FROM cases ORDER BY case_id")]  # noqa: S608

    # computing --------------------------------------------------------------------------------------------------------

    def map(self, fn: Callable[[Case], Any], executor: Any = None, **options: Any) -> Iterator[tuple[str, Any]]:
        """See `fastimg.cohort.map_cases`. `fn`, `executor` and options as there."""
        return _map.map_cases(self, fn, executor, **options)

    def map_voxels(self, function: Callable[..., Any], target: Cohort, **options: Any) -> Iterator[tuple[str, str]]:
        """See `fastimg.cohort.map_voxels`. `function`, `target` and options as there."""
        return _voxelwise.map_voxels(self, function, target, **options)

    def patches(self, size: Sequence[int], n: int, *, seed: int = 0, **options: Any) -> Iterator[_patches.Patch]:
        """See `fastimg.cohort.draw_patches`. `size`, `n`, `seed` and options as there."""
        return _patches.draw_patches(self, size, n, seed=seed, **options)

    # keeping sound ----------------------------------------------------------------------------------------------------

    def verify(self, full: bool = False, *, threads: int | None = None) -> _verify.Report:
        """Compare files with the manifests: sizes and checksums; with `full` every voxel with its digest.

        Open for writing it also makes the index anew where that differs from the manifests. `threads` defaults to
        `config.threads()`.
        """
        return _verify.verify(self._place, full=full, threads=threads)

    def gc(self) -> list[Finding]:
        """Remove what dead writers left in .tmp; what living ones use stays. Returns a finding for each thing."""
        self._must_write("gc")
        return self._place.collect()

    def __repr__(self) -> str:
        return f"<Cohort {self.path}, {len(self)} cases, {'r+' if self.writable else 'r'}>"

    def _repr_html_(self) -> str:
        from .._notebook import cohort

        return cohort(self)


def _opened(path: Any, writable: bool, options: dict[str, Any]) -> Cohort:
    return Cohort(path, writable=writable, options=options)
