"""Least-squares tissue means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, FormatError
from ._exact import ExactSum
from ._intensity import divided
from ._tissue import FCM

__all__ = ["LSQ"]

_VERSION = 1


class LSQ:
    """Scale brain images so that their tissues' means come closest to a cohort's (least squares; Reinhold et al. 2019).

    The means of cerebrospinal fluid, grey and white matter are those of `FCM`. Each image of the cohort gives its means
    over that of its fluid; the standard is their mean. An image with means m is divided by a = m'm / m's, which makes
    ||m / a - s|| least. Of one image the standard is intensity-normalization's (which takes the first of a cohort).

    Learning keeps three exact sums, so it streams, and merges to the same bits in any order.

    Parameters
    ----------
    value : float
        What the fluid's mean becomes in the standard.

    Raises
    ------
    ArgumentError
        `value` is not positive.
    """

    def __init__(self, *, value: float = 1.0) -> None:
        if not value > 0:
            raise ArgumentError(f"value: must be positive, got {value!r}")
        self.value = float(value)
        self._sum = ExactSum(3)

    def fit(
        self,
        images: Iterable[Any],
        *,
        masks: Iterable[Any] | None = None,
        nan: str = "raise",
        threads: int | None = None,
    ) -> Self:
        """Learn the standard of these images alone; parameters as in `Nyul.fit`.

        Raises ArgumentError where no image is given.
        """
        self._sum = ExactSum(3)
        for image, mask in zip(images, repeat(None) if masks is None else masks, strict=masks is not None):
            self.partial_fit(image, mask=mask, nan=nan, threads=threads)
        if not self.count:
            raise ArgumentError("LSQ.fit: no image was given")
        return self

    def partial_fit(self, image: Any, *, mask: Any = None, nan: str = "raise", threads: int | None = None) -> Self:
        """Add one image, or its Histogram. `mask`, `nan` and `threads` as in `FCM.fit`."""
        means = self._means(image, mask, nan, threads)
        self._sum.add(means / means[0])
        return self

    def merge(self, other: LSQ) -> LSQ:
        """What was learnt from the images of both; neither is changed.

        Raises ArgumentError where `other` has another `value`.
        """
        if self.value != other.value:
            raise ArgumentError("LSQ.merge: value must be the same")
        both = LSQ(value=self.value)
        both._sum = self._sum + other._sum
        return both

    @property
    def count(self) -> int:
        """Of images."""
        return self._sum.count

    @property
    def standard(self) -> npt.NDArray[np.float64]:
        """Means of fluid, grey and white matter to come close to; ArgumentError before `fit`."""
        if not self.count:
            raise ArgumentError("LSQ: not fitted; call fit or partial_fit first")
        return self._sum.mean() * self.value

    def factor(self, image: Any, *, mask: Any = None, nan: str = "raise", threads: int | None = None) -> float:
        """What `transform` divides by. `mask`, `nan` and `threads` as in `FCM.fit`."""
        standard, means = self.standard, self._means(image, mask, nan, threads)
        return float(means @ means / (means @ standard))

    def transform(
        self, image: Any, *, mask: Any = None, nan: str = "raise", out: Any = None, threads: int | None = None
    ) -> Any:
        """image / factor, float32. `mask`, `nan` and `threads` as in `FCM.fit`; `out` is an array to write to."""
        return divided("LSQ", image, self.factor(image, mask=mask, nan=nan, threads=threads), out, threads)

    @staticmethod
    def _means(image: Any, mask: Any, nan: str, threads: int | None) -> npt.NDArray[np.float64]:
        means = FCM().fit(image, mask=mask, nan=nan, threads=threads).means
        if not means[0] > 0:
            raise ArgumentError(f"LSQ: the darkest tissue's mean must be positive, got {means[0]:g}")
        return means

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON, with a format's name and version."""
        return {"format": "fastimg-lsq", "version": _VERSION, "value": self.value, **self._sum.to_dict()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; a newer version is refused.

        Raises FormatError where `record` is no such record or damaged.
        """
        if record.get("format") != "fastimg-lsq":
            raise FormatError("LSQ.from_dict: not a fastimg-lsq record")
        if record.get("version") != _VERSION:
            raise FormatError(f"LSQ.from_dict: version {record.get('version')!r}, expected {_VERSION}; update fastimg")
        try:
            self = cls(value=record["value"])
            self._sum = ExactSum.from_dict(record, 3)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"LSQ.from_dict: the record is damaged: {error}") from None
        return self
