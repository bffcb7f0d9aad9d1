"""A node's vector: the terms that it stands for, its checks before anything is sent, and its words."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import native
from ..errors import ArgumentError, RefusedError
from . import _graph, _native
from ._mask import Prg, Rounding, scale_of, upload, whole
from ._privacy import Privacy, noise_bound, variance_of
from ._terms import NumberKind, Terms, default_threshold

__all__ = ["Values", "ranges_of", "terms_of"]

_KINDS: dict[str, NumberKind] = {
    "float32": "float",
    "float64": "float",
    "int64": "int",
    "uint32": "uint",
    "uint64": "uint",
}
_ROWS = 1 << 22  # values at a time


def ranges_of(clip: Any, length: int | None = None) -> npt.NDArray[np.float64] | None:
    """A range for each column, or None for one number."""
    if clip is None or isinstance(clip, (int, float, np.integer, np.floating)):
        return None
    ranges = np.ascontiguousarray(clip, np.float64)
    if ranges.ndim != 1 or (length is not None and ranges.size != length):
        raise ArgumentError("clip: a number, or one for each value of the vector")
    if not np.isfinite(ranges).all() or not (ranges > 0).all() or not np.isfinite(1 / ranges).all():
        raise ArgumentError("clip: ranges must be finite and above 0")
    return ranges


def digest_of(ranges: npt.NDArray[np.float64] | None) -> bytes:
    """Binds a round to its ranges."""
    return b"" if ranges is None else hashlib.sha256(ranges.astype("<f8").tobytes()).digest()


def graph_of(
    n: int,
    threshold: int | None,
    colluding: int | None,
    neighbours: int | None,
    dropout: float,
    active: bool,
) -> tuple[int, int, int]:
    """(neighbours, threshold, colluding); neighbours 0: everybody."""
    if not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
        raise ArgumentError("dropout: a share of the nodes, from 0 to below 1")
    if neighbours is not None:
        whole("neighbours", neighbours, 2, n - 1)
    usual = (
        neighbours is None and threshold is None and n > _graph.COMPLETE
    )  # a threshold alone is of the complete graph
    if usual or (neighbours is not None and neighbours < n - 1):
        few = n // 10 if colluding is None else whole("colluding", colluding, 0, n - 1)
        if neighbours is not None:
            if threshold is None:
                raise ArgumentError("threshold: goes with neighbours")
            return neighbours, threshold, few
        try:
            degree, shares = _graph.parameters(n, few, float(dropout), active)
        except ArgumentError:
            pass  # too few nodes for a sparse graph that hides enough: the complete one
        else:
            return degree, shares, few
    usual_threshold, usual_colluding = default_threshold(n)
    if threshold is not None:
        return 0, threshold, colluding or 0
    if colluding is None:
        return 0, usual_threshold, usual_colluding
    return 0, max(2, (n + whole("colluding", colluding, 0, n - 1)) // 2 + 1), colluding


def terms_of(
    vector: Any,
    n: int,
    *,
    graph: tuple[int, int, int],
    bits: int | None,
    clip: Any,
    rounding: Rounding,
    modular: bool,
    privacy: Privacy | None,
    request: bytes,
    prg: Prg,
    active: bool,
) -> Terms:
    """The terms that a vector and a client's options stand for."""
    array = np.asarray(vector)
    if privacy is not None and not isinstance(privacy, Privacy):
        raise ArgumentError("privacy: a Privacy")
    axes = 2 if privacy else 1
    if array.ndim != axes or not array.shape[-1]:
        wanted = "two axes, a row a patient" if privacy else "one axis with at least one value"
        raise ArgumentError(f"vector: {wanted}, got shape {array.shape}")
    kind = _KINDS.get(array.dtype.name)
    if kind is None:
        raise ArgumentError(f"vector: dtype must be float32, float64, int64, uint32 or uint64, got {array.dtype}")
    if modular:
        if kind != "uint":
            raise ArgumentError("modular: only for uint32 and uint64")
        kind = "modular"
    ranges = None
    if kind == "float":
        if bits is None or clip is None:
            raise ArgumentError("bits and clip: a vector of floats needs both")
        ranges = ranges_of(clip, array.shape[-1])
    elif clip is not None:
        raise ArgumentError("clip: only for vectors of floats")
    if bits is None:
        full = 32 if array.dtype == np.uint32 else 64
        bits = full if modular or full == 32 else 64 - (n - 1).bit_length()
    if privacy is not None and rounding != "nearest":
        raise ArgumentError("rounding: with privacy, to the nearest")
    neighbours, threshold, colluding = graph
    terms = Terms(
        request=request,
        n=n,
        threshold=threshold,
        colluding=colluding,
        neighbours=neighbours,
        length=array.shape[-1],
        kind=kind,
        bits=whole("bits", bits, 1, 64),
        clip=(1.0 if ranges is not None else float(clip)) if kind == "float" else 0.0,
        ranges=digest_of(ranges),
        rounding=rounding,
        privacy=b"" if privacy is None else privacy.to_bytes(),
        prg=prg,
        active=active,
    )
    if privacy is None:
        return terms
    variance = variance_of(privacy, _honest(terms, n, privacy), terms.length, scale_of(terms.bits, terms.clip)[0])
    room = n * terms.bound() + 2 * noise_bound(variance, n, terms.length)  # twice: a smaller roster needs more noise
    return terms.with_guard(max(0, room.bit_length() + 1 - terms.modulus_bits))


def _honest(terms: Terms, count: int, privacy: Privacy) -> int:
    """Survivors who certainly add their noise."""
    honest = 1 if privacy.local else terms.least(count) - terms.colluding
    if honest < 1:
        raise ArgumentError("privacy: the threshold promises no honest survivor")
    return honest


class Values:
    """A node's vector between its checks and its upload."""

    def __init__(self, vector: Any, terms: Terms, clip: Any, privacy: Privacy | None) -> None:
        self.clipped = 0
        self._terms, self._privacy = terms, privacy
        self._ranges = ranges_of(clip, terms.length) if terms.kind == "float" else None
        array = native(np.asarray(vector))
        if terms.kind == "float" and not np.isfinite(array).all():
            raise ArgumentError("vector: holds NaN or infinite values")
        if privacy is not None:
            self._words: Any = self._rows(array, privacy)
        elif terms.kind == "float":
            # one number: quantised with the masks, in one pass
            self._words = array.copy() if self._ranges is None else array.astype(np.float64) / self._ranges
        else:
            self._words = self._whole(array)

    def masked(
        self, seeds: list[bytes], signs: list[int], count: int, threads: int | None, head: bytes, tail: int
    ) -> bytes:
        """The upload: head, the packed sum of vector, noise and all masks for a roster of `count`, room; once."""
        terms, values, self._words = self._terms, self._words, None
        dither, fixed = None, (0.0, 0.0, 0.0)
        if self._privacy is not None:
            values = self._noisy(values, count)
        elif terms.kind == "float":
            fixed = (*scale_of(terms.bits, terms.clip), terms.clip)
            dither = os.urandom(32) if terms.rounding == "stochastic" else None
        options: dict[str, Any] = {"prg": terms.prg, "bits": terms.packed_bits, "threads": threads}
        packed, clipped = upload(values, seeds, signs, fixed=fixed, dither=dither, head=head, tail=tail, **options)
        self.clipped += clipped
        return packed

    def _whole(self, array: Any) -> Any:
        terms, bound = self._terms, self._terms.bound()
        low = -bound if terms.kind == "int" else 0
        if int(array.max()) > bound or int(array.min()) < low:
            raise ArgumentError(f"vector: values lie outside [{low}, {bound}], which {terms.bits} bits hold")
        return array.astype(np.int64).view(np.uint64).astype(terms.word) if low else array.astype(terms.word)

    def _rows(self, rows: Any, privacy: Privacy) -> npt.NDArray[np.int64]:
        """The sum of clipped and rounded rows, in steps."""
        terms = self._terms
        scale = scale_of(terms.bits, terms.clip)[0]
        total = np.zeros(terms.length, np.int64)
        for at in range(0, len(rows), max(1, _ROWS // terms.length)):
            part = rows[at : at + max(1, _ROWS // terms.length)].astype(np.float64)
            if self._ranges is not None:
                part /= self._ranges
            largest = np.maximum(
                np.abs(part).max(axis=1), np.finfo(np.float64).tiny
            )  # squares neither over- nor underflow
            norms = largest * np.sqrt(np.square(part / largest[:, None]).sum(axis=1))
            long = norms > privacy.l2
            self.clipped += int(long.sum())
            part[long] *= (privacy.l2 / norms[long])[:, None]
            total += np.rint(part * scale).astype(np.int64).sum(axis=0)
        bound = terms.bound()
        self.clipped += int((np.abs(total) > bound).sum())
        return np.clip(total, -bound, bound)  # no coordinate of two neighbours moves apart by this

    def _noisy(self, steps: npt.NDArray[np.int64], count: int) -> Any:
        terms, privacy = self._terms, self._privacy
        assert privacy is not None
        scale = scale_of(terms.bits, terms.clip)[0]
        variance = variance_of(privacy, _honest(terms, count, privacy), terms.length, scale)
        room = count * terms.bound() + noise_bound(variance, count, terms.length)
        if room >> (terms.modulus_bits - 1):
            raise RefusedError(f"secagg: {count} nodes are too few for this noise and this modulus")
        noisy = steps + _native.noise(os.urandom(32), variance, terms.length)
        return noisy.view(np.uint64).astype(terms.word)
