"""Which masks were drawn on which series: by the series or slices that a mask refers to, else by its frame of reference."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["References", "base_uid", "referenced"]


class References:
    """Masks by number, in the order in which they were added.

    First all masks are added, then `look` sees every row of the scan's table, then `place` is asked for each volume.
    UIDs of slices are kept as 16 bytes of their BLAKE2b: a mask may name thousands.
    """

    def __init__(self) -> None:
        self._series: dict[str, set[int]] = {}
        self._instances: list[bytes] = []
        self._owners: list[int] = []
        self._sorted: tuple[Any, Any] | None = None
        self._near: dict[tuple[str, str], list[Any]] = {}  # by study and frame of reference: volumes, tag of the first
        self._keys: list[tuple[str, str] | None] = []
        self._placed: set[int] = set()

    def add(self, mask: Any) -> None:
        """One more mask, a Series."""
        number = len(self._keys)
        uids, instances = referenced(mask)
        for uid in uids:
            self._series.setdefault(uid, set()).add(number)
        self._instances += map(_short, instances)
        self._owners += [number] * len(instances)
        frame = mask.attributes.get("frame_of_reference_uid")
        self._keys.append((mask.study_uid, frame) if frame else None)
        if frame:
            self._near.setdefault((mask.study_uid, frame), [0, None])

    def look(self, table: Any) -> None:
        """Find the series of the slices that masks refer to."""
        if self._sorted is None:
            instances = np.array(self._instances, "S16")
            order = np.argsort(instances, kind="stable")
            self._sorted = instances[order], np.array(self._owners, np.int64)[order]
            self._instances.clear()
            self._owners.clear()
        known, owners = self._sorted
        if not len(known):
            return
        uids = [_short(uid or "") for uid in table["sop_instance_uid"].to_pylist()]
        there = np.array(uids, "S16")
        start, end = np.searchsorted(known, there, "left"), np.searchsorted(known, there, "right")
        for row in np.flatnonzero(end > start).tolist():
            uid = table["series_uid"][row].as_py()
            if uid:
                self._series.setdefault(uid, set()).update(owners[start[row] : end[row]].tolist())

    def place(self, volume: Any, tag: Any) -> list[int]:
        """Numbers of the masks that refer to an image's series; `tag` is told of the only one near a mask that refers to none."""
        own = sorted(self._series.get(base_uid(volume), ()))
        self._placed.update(own)
        near = self._near.get((volume.study_uid, volume.attributes.get("frame_of_reference_uid") or ""))
        if near is not None:
            near[0] += 1
            near[1] = tag
        return own

    def left(self) -> Iterator[tuple[int, bool, Any]]:
        """(number, whether one volume alone shares its study and frame of reference, that one's tag) of the other masks."""
        for number, key in enumerate(self._keys):
            if number not in self._placed:
                count, tag = self._near[key] if key is not None else (0, None)
                yield number, count == 1, tag


def _short(uid: str) -> bytes:
    return hashlib.blake2b(uid.encode(), digest_size=16).digest()


def base_uid(series: Any) -> str:
    """The series' own UID, without the suffix of a split."""
    return str(series.attributes.get("series_uid") or series.uid)


def referenced(mask: Any) -> tuple[list[str], list[str]]:
    """UIDs of the series, and of the slices, that a SEG or RTSTRUCT says it was drawn on."""
    import pydicom

    series: dict[str, None] = {}
    instances: dict[str, None] = {}
    for path in mask.files:
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            _collect(dataset, series, instances, 0)
        except Exception:  # noqa: S112  (whatever is wrong with the file, its reader will say it)
            continue
    return list(series), list(instances)


_MOST = 4096  # slices looked at; one that is known is enough


def _collect(dataset: Any, series: dict[str, None], instances: dict[str, None], depth: int) -> None:
    if depth > 8 or len(instances) > _MOST:
        return
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value or ():
                _collect(item, series, instances, depth + 1)
        elif element.keyword == "SeriesInstanceUID" and depth:
            series[str(element.value)] = None
        elif element.keyword == "ReferencedSOPInstanceUID":
            instances[str(element.value)] = None
