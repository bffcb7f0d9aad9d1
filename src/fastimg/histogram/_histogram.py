"""Histogram: counts that merge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from .._arrays import choice, thread_count
from ..errors import ArgumentError, FormatError
from ._adaptive import coarsened, exponent_of
from ._counting import MOST, adaptive, fixed, integer
from ._select import NAN, selected
from ._statistics import checked_q, lerp

__all__ = ["Histogram"]

Kind = Literal["integer", "fixed", "adaptive"]

_VERSION = 1


class Histogram:
    """Counts of values that can be added to the counts of another part of the data.

    Made with `Histogram.of`. There are three kinds:

    - "integer": one bin for each whole number; exact; its range grows when histograms merge.
    - "fixed": `bins` equal bins over a public `range`, with counts of what lay below and above it: what a federation
      sums, since the bins tell nothing of the data. The last bin is closed.
    - "adaptive": for floats without a range. Bins are [i, i + 1) * 2**exponent, with the least exponent that needs no
      more than `limit` bins between the least and the greatest value. Merging adds neighbours of the finer one, which
      is exact, so that the merged histogram is the pooled one, whatever the order.

    `unit` is that of the image, where it is known; histograms of different units are not added.

    The error of a quantile is at most `error`: 0 for integers, else the width of a bin (for values inside the range).

    Parameters
    ----------
    kind : {"integer", "fixed", "adaptive"}
    counts : array_like of int, (bins,)
        None negative; at most 2**24.
    origin : int
        "integer": value of the first bin. "adaptive": its number i.
    exponent : int
        "adaptive": the width of a bin is 2**exponent.
    limit : int
        "adaptive": the most bins.
    low, high : float
        "fixed": the range, in the image's unit.
    below, above : int
        "fixed": how many values lay outside of it.
    skipped : int
        NaN and infinite values that were left out.
    min, max : float
        Least and greatest value; NaN where they are not kept ("fixed") or nothing was counted.
    unit : str, optional
        Of the image.

    Raises
    ------
    ArgumentError
        Counts, range, limit, exponent or origin that cannot be.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> a, b = fi.Histogram.of(np.int16([1, 2, 2])), fi.Histogram.of(np.int16([5]))
    >>> (a + b).quantile(0.5), (a + b).mean()
    (2.0, 2.5)
    """

    __slots__ = (
        "above",
        "below",
        "counts",
        "exponent",
        "high",
        "kind",
        "limit",
        "low",
        "max",
        "min",
        "origin",
        "skipped",
        "unit",
    )

    def __init__(
        self,
        kind: Kind,
        counts: npt.ArrayLike,
        *,
        origin: int = 0,
        exponent: int = 0,
        limit: int = 65536,
        low: float = 0.0,
        high: float = 0.0,
        below: int = 0,
        above: int = 0,
        skipped: int = 0,
        min: float = math.nan,
        max: float = math.nan,
        unit: str | None = None,
    ) -> None:
        self.kind: Kind = choice("kind", kind, ("integer", "fixed", "adaptive"))
        self.counts: npt.NDArray[np.int64] = np.array(counts, np.int64)
        if self.counts.ndim != 1 or len(self.counts) > MOST or (self.counts < 0).any() or below < 0 or above < 0:
            raise ArgumentError(f"Histogram: counts are a vector of at most {MOST} numbers that are not negative")
        self.origin, self.exponent, self.limit = int(origin), int(exponent), int(limit)
        if not 1 <= self.limit <= MOST or abs(self.exponent) > 1100 or abs(self.origin) > 1 << 62:
            raise ArgumentError("Histogram: limit, exponent or origin is out of range")
        self.low, self.high = float(low), float(high)
        self.below, self.above, self.skipped = int(below), int(above), int(skipped)
        self.min, self.max = float(min), float(max)
        self.unit = unit
        if kind == "fixed" and not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ArgumentError(f"Histogram: range must be finite and increasing, got ({low!r}, {high!r})")

    # making -----------------------------------------------------------------------------------------------------------

    @classmethod
    def of(
        cls,
        image: Any,
        *,
        mask: Any = None,
        bins: int | None = None,
        range: Sequence[float] | None = None,
        nan: str = "raise",
        threads: int | None = None,
    ) -> Self:
        """Count an image.

        Parameters
        ----------
        image : Image or array
            Real numbers. Padding of an Image does not count.
        mask : Image or array, optional
            Non-zero counts; the image's shape, or its last three axes.
        bins : int, optional
            With `range`: the number of equal bins, default 256. Without: the most bins an adaptive histogram may have,
            default 65536 (floats only; whole numbers are counted exactly).
        range : (low, high), optional
            Fixed public borders in the image's unit.
        nan : {"raise", "ignore"}
            What NaN and infinite values do; with "ignore" they are counted in `skipped`.
        threads : int, optional
            Default: `config.threads()`.

        Returns
        -------
        Histogram

        Raises
        ------
        ArgumentError
            NaN or infinities with nan="raise"; whole numbers that span more than 2**24 values (give bins and range).
        """
        choice("nan", nan, NAN)
        if bins is not None and not 1 <= bins <= MOST - 3:
            raise ArgumentError(f"bins: must lie between 1 and {MOST - 3}, got {bins!r}")
        values, inside = selected(image, mask)
        team = thread_count(threads)
        unit = getattr(image, "unit", None)
        if range is not None:
            return cls("fixed", **fixed(values, inside, bins or 256, range, nan, team), unit=unit)
        if values.dtype.kind in "iu":
            if bins is not None:
                raise ArgumentError("bins: whole numbers are counted one bin a value; give range= too for wider bins")
            return cls("integer", **integer(values, inside, team), unit=unit)
        return cls("adaptive", **adaptive(values, inside, bins or 65536, nan, team), unit=unit)

    # merging ----------------------------------------------------------------------------------------------------------

    def merge(self, other: Histogram) -> Self:
        """The histogram of both parts; neither is changed. Order and grouping do not matter.

        `other` is a Histogram.

        Raises
        ------
        ArgumentError
            Different kinds, borders, limits or units.
        """
        if not isinstance(other, Histogram):
            raise ArgumentError(f"merge: expected a Histogram, got {type(other).__name__}")
        if self.kind != other.kind:
            raise ArgumentError(f"merge: an {self.kind} histogram and an {other.kind} one cannot be added")
        if self.unit is not None and other.unit is not None and self.unit != other.unit:
            raise ArgumentError(f"merge: one histogram cannot hold values in {self.unit} and in {other.unit}")
        ends = {"min": _least(self.min, other.min), "max": -_least(-self.max, -other.max)}
        rest: dict[str, Any] = {"skipped": self.skipped + other.skipped, "unit": self.unit or other.unit, **ends}
        if self.kind == "fixed":
            if (self.low, self.high, len(self.counts)) != (other.low, other.high, len(other.counts)):
                raise ArgumentError("merge: fixed histograms need the same bins and range")
            return type(self)(
                "fixed",
                self.counts + other.counts,
                low=self.low,
                high=self.high,
                below=self.below + other.below,
                above=self.above + other.above,
                **rest,
            )
        if self.kind == "adaptive" and self.limit != other.limit:
            raise ArgumentError("merge: adaptive histograms need the same limit of bins")
        if not len(self.counts) or not len(other.counts):
            one = self if len(self.counts) else other
            return type(self)(self.kind, one.counts, origin=one.origin, exponent=one.exponent, limit=self.limit, **rest)
        exponent = 0
        if self.kind == "adaptive":
            exponent = exponent_of(ends["min"], ends["max"], self.limit)
        parts = [
            (h.counts, h.origin) if self.kind == "integer" else coarsened(h.counts, h.origin, exponent - h.exponent)
            for h in (self, other)
        ]
        first = min(origin for _, origin in parts)
        size = max(origin + len(counts) for counts, origin in parts) - first
        if size > MOST:
            raise ArgumentError(f"merge: together they need {size} bins, more than {MOST}; use bins= and range=")
        total = np.zeros(size, np.int64)
        for counts, origin in parts:
            total[origin - first : origin - first + len(counts)] += counts
        return type(self)(self.kind, total, origin=first, exponent=exponent, limit=self.limit, **rest)

    def __add__(self, other: object) -> Self:
        return self.merge(other) if isinstance(other, Histogram) else NotImplemented

    def __radd__(self, other: object) -> Self:
        return self if other == 0 else NotImplemented  # so that sum() works

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    # reading ----------------------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many values were counted, those below and above a fixed range too."""
        return int(self.counts.sum()) + self.below + self.above

    @property
    def error(self) -> float:
        """The greatest error of a quantile, in the image's unit: 0 for whole numbers, else a bin's width."""
        if self.kind == "integer":
            return 0.0
        return (self.high - self.low) / len(self.counts) if self.kind == "fixed" else math.ldexp(1.0, self.exponent)

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        """Borders of the bins, one more than there are bins; bin i holds edges[i] <= x < edges[i + 1]."""
        if self.kind == "fixed":
            return np.linspace(self.low, self.high, len(self.counts) + 1)
        return (self.origin + np.arange(len(self.counts) + 1, dtype=np.float64)) * math.ldexp(1.0, self.exponent)

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """What a count stands for: the whole number, or the middle of the bin."""
        edges = self.edges
        return edges[:-1] if self.kind == "integer" else (edges[:-1] + edges[1:]) / 2

    def quantile(self, q: float | Sequence[float] | npt.NDArray[Any]) -> Any:
        """Quantiles by numpy's default ("linear") definition; exact for whole numbers.

        For floats each of the two neighbouring order statistics is placed in its bin by its rank there, so that the
        result is off by `error` at most. A value outside a fixed range is given as the border: where a quantile falls
        there, its error has no bound.

        Raises
        ------
        ArgumentError
            An empty histogram; q outside [0, 1].
        """
        wanted = checked_q(q)
        total = self.count
        if not total:
            raise ArgumentError("quantile: the histogram is empty")
        position = wanted * (total - 1)
        lower = np.floor(position).astype(np.int64)
        ends = np.cumsum(self.counts) + self.below
        low = self._ranked(lower, ends)
        high = self._ranked(np.minimum(lower + 1, total - 1), ends)
        found = lerp(low, high, position - lower)
        return float(found[0]) if np.ndim(q) == 0 else found

    def _ranked(self, rank: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        place = np.searchsorted(ends, rank, side="right")
        if self.kind == "integer":
            return (self.origin + place).astype(np.float64)
        if not len(self.counts):
            return np.where(rank < self.below, self.low, self.high)
        edges = self.edges
        inside = np.clip(place, 0, len(self.counts) - 1)
        begin = ends[inside] - self.counts[inside]
        share = (rank - begin + 0.5) / np.maximum(self.counts[inside], 1)
        found = edges[inside] + (edges[inside + 1] - edges[inside]) * share
        if self.kind == "fixed":
            found = np.where(rank < self.below, self.low, found)
            return np.where(place >= len(self.counts), self.high, found)
        return np.clip(found, self.min, self.max)

    def mean(self) -> float:
        """Mean; exact to rounding for whole numbers, else off by half a bin at most (within a fixed range)."""
        total = int(self.counts.sum())
        if not total:
            return math.nan
        if self.kind == "integer":
            return self.origin + self._whole_sum(1) / total
        return float((self.counts * self.values).sum() / total)  # not BLAS: its sums depend on its threads

    def var(self, ddof: int = 0) -> float:
        """Variance; exact to rounding for whole numbers, from bin middles otherwise. Divided by count - `ddof`."""
        total = int(self.counts.sum())
        if total <= ddof:
            return math.nan
        if self.kind == "integer":
            return (total * self._whole_sum(2) - self._whole_sum(1) ** 2) / total / (total - ddof)
        apart = self.values - self.mean()
        return float((self.counts * (apart * apart)).sum() / (total - ddof))

    def std(self, ddof: int = 0) -> float:
        """Square root of `var`. `ddof` likewise."""
        return math.sqrt(self.var(ddof))

    def _whole_sum(self, power: int) -> int:
        """Sum of (value - origin)^power as a Python integer: never rounded, never overflows."""
        used = np.flatnonzero(self.counts)
        steps, counts = used.astype(np.int64) ** power, self.counts[used]
        if int(counts.sum()) * (int(used[-1]) ** power if used.size else 0) < 1 << 62:
            return int(steps @ counts)
        return sum(a * b for a, b in zip(steps.tolist(), counts.tolist(), strict=True))

    def rebin(self, bins: int, range: Sequence[float]) -> Self:
        """A fixed histogram: exact from whole numbers; from floats, counts of a bin go where its middle lies."""
        low, high = (float(v) for v in range)
        new = type(self)("fixed", np.zeros(bins, np.int64), low=low, high=high, skipped=self.skipped, unit=self.unit)
        values = self.values
        index = np.clip(np.floor((values - low) * (bins / (high - low))), 0, bins - 1).astype(np.int64)
        inside = (values >= low) & (values <= high)
        np.add.at(new.counts, index[inside], self.counts[inside])
        new.below = int(self.counts[values < low].sum()) + self.below
        new.above = int(self.counts[values > high].sum()) + self.above
        return new

    # keeping ----------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON, with a format's name and version."""
        return {
            "format": "fastimg-histogram",
            "version": _VERSION,
            "kind": self.kind,
            "counts": self.counts.tolist(),
            "origin": self.origin,
            "exponent": self.exponent,
            "limit": self.limit,
            "low": self.low,
            "high": self.high,
            "below": self.below,
            "above": self.above,
            "skipped": self.skipped,
            "min": None if math.isnan(self.min) else self.min,
            "max": None if math.isnan(self.max) else self.max,
            **({} if self.unit is None else {"unit": self.unit}),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; a newer version is refused.

        Raises FormatError where `record` is no such record or damaged.
        """
        if record.get("format") != "fastimg-histogram":
            raise FormatError("Histogram.from_dict: not a fastimg-histogram record")
        if record.get("version") != _VERSION:
            raise FormatError(
                f"Histogram.from_dict: version {record.get('version')!r} is not {_VERSION}; update fastimg"
            )
        fields = {key: record[key] for key in cls._FIELDS if record.get(key) is not None}
        try:
            return cls(record["kind"], record["counts"], **fields)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise FormatError(f"Histogram.from_dict: the record is damaged: {error}") from None

    _FIELDS = ("origin", "exponent", "limit", "low", "high", "below", "above", "skipped", "min", "max", "unit")

    def __repr__(self) -> str:
        if self.kind == "fixed":
            where = f"{self.low:g} to {self.high:g}"
        else:
            where = f"{self.min:g} to {self.max:g}" if len(self.counts) else "empty"
        return f"<Histogram {self.kind}, {len(self.counts)} bins, {where}, {self.count} values>"


def _least(a: float, b: float) -> float:
    return b if math.isnan(a) else a if math.isnan(b) else min(a, b)
