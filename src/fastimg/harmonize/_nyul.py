"""Nyul & Udupa's standard intensity scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, FormatError
from ..histogram import Histogram, quantile
from ._exact import ExactSum
from ._piecewise import mapped

__all__ = ["Nyul"]

_VERSION = 2  # 1: sums of floats


class Nyul:
    """Bring images to a standard intensity scale learnt from a cohort (Nyul & Udupa, MRM 42:1072, 1999).

    Each image of the cohort gives its percentiles (landmarks), scaled so that the lowest and the highest fall on `scale`;
    the standard scale is their mean. An image is transformed by the piecewise-linear map from its own landmarks to the
    standard ones; the end segments go on beyond the ends. A shift or a gain of an image changes nothing, so units may
    differ.

    Learning keeps exact sums of a dozen numbers, so it streams (`partial_fit`) and merges over nodes (`merge`) to the
    same bits in any order. An image may be given as its `Histogram`, itself merged from chunks: the same bits for whole
    numbers; for floats each landmark is off by `Histogram.error` at most.

    Parameters
    ----------
    low, high : float
        The outer percentiles.
    inner : sequence of float
        The percentiles between them, increasing.
    scale : (float, float)
        Where the outer percentiles of the standard scale lie.

    Raises
    ------
    ArgumentError
        Percentiles that do not increase within 0 to 100, or a scale that does not increase.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> rng = np.random.default_rng(0)
    >>> images = [rng.gamma(4, gain, (8, 9, 10)).astype(np.float32) for gain in (10, 30)]
    >>> nyul = fi.harmonize.Nyul().fit(images)
    >>> a, b = (float(np.median(nyul.transform(image))) for image in images)
    >>> abs(a - b) < 0.2
    True
    """

    def __init__(
        self,
        *,
        low: float = 1,
        high: float = 99,
        inner: Sequence[float] = (10, 20, 30, 40, 50, 60, 70, 80, 90),
        scale: tuple[float, float] = (1.0, 100.0),
    ) -> None:
        percentiles = [float(p) for p in (low, *inner, high)]
        if not (percentiles[0] >= 0 and percentiles[-1] <= 100) or sorted(set(percentiles)) != percentiles:
            raise ArgumentError(f"Nyul: percentiles must increase from 0 to 100 at most, got {percentiles}")
        if not scale[0] < scale[1]:
            raise ArgumentError(f"Nyul: scale must be increasing, got {scale!r}")
        self.percentiles = tuple(percentiles)
        self.scale = (float(scale[0]), float(scale[1]))
        self._sum = ExactSum(len(percentiles))

    def fit(
        self,
        images: Iterable[Any],
        *,
        masks: Iterable[Any] | None = None,
        nan: str = "raise",
        threads: int | None = None,
    ) -> Self:
        """Learn the standard scale of these images alone.

        Parameters
        ----------
        images : iterable of Image, array or Histogram
            Read one at a time; a generator will do.
        masks : iterable of Image or array, optional
            One for each image (None: all its voxels).
        nan : {"raise", "ignore"}
            What NaN and infinite values do.
        threads : int, optional
            Default: `config.threads()`.

        Raises
        ------
        ArgumentError
            No image was given.
        """
        self._sum = ExactSum(len(self.percentiles))
        for image, mask in zip(images, repeat(None) if masks is None else masks, strict=masks is not None):
            self.partial_fit(image, mask=mask, nan=nan, threads=threads)
        if not self.count:
            raise ArgumentError("Nyul.fit: no image was given")
        return self

    def partial_fit(self, image: Any, *, mask: Any = None, nan: str = "raise", threads: int | None = None) -> Self:
        """Add one image, or its histogram; parameters and errors as in `fit`.

        Without `mask` all voxels count. Raises ArgumentError where the outer percentiles are equal: there is no
        contrast to learn.
        """
        own = self._landmarks(image, mask, nan, threads)
        if not own[-1] > own[0]:
            raise ArgumentError(
                f"Nyul: the outer percentiles are equal ({own[0]:g}); the image has no contrast to learn"
            )
        low, high = self.scale
        self._sum.add(low + (own - own[0]) * ((high - low) / (own[-1] - own[0])))
        return self

    def merge(self, other: Nyul) -> Nyul:
        """What was learnt from the images of both; neither is changed.

        Raises ArgumentError where percentiles or scale of `other` are not the same.
        """
        if self.percentiles != other.percentiles or self.scale != other.scale:
            raise ArgumentError("Nyul.merge: percentiles and scale must be the same")
        both = Nyul.from_dict(self.to_dict())
        both._sum = self._sum + other._sum
        return both

    @property
    def count(self) -> int:
        """Of images."""
        return self._sum.count

    @property
    def standard(self) -> npt.NDArray[np.float64]:
        """The standard scale: where each of `percentiles` lies; ArgumentError before `fit`."""
        if not self.count:
            raise ArgumentError("Nyul: not fitted; call fit or partial_fit first")
        return self._sum.mean()

    def transform(
        self, image: Any, *, mask: Any = None, nan: str = "raise", out: Any = None, threads: int | None = None
    ) -> Any:
        """The image on the standard scale.

        Parameters
        ----------
        image : Image or array
            Any shape; all of its voxels are transformed.
        mask : Image or array, optional
            Where its landmarks are measured.
        nan, threads
            As in `fit`; NaN stays NaN.
        out : Image or array, optional
            float32, same shape; must not overlap the image.

        Returns
        -------
        Image or array, float32
        """
        standard = self.standard
        return mapped("Nyul", image, self._landmarks(image, mask, nan, threads), standard, out, threads)

    def _landmarks(self, image: Any, mask: Any, nan: str, threads: int | None) -> npt.NDArray[np.float64]:
        q = np.array(self.percentiles) / 100
        if isinstance(image, Histogram):
            if mask is not None:
                raise ArgumentError("mask: a histogram was counted inside its mask already")
            return np.asarray(image.quantile(q))
        return np.asarray(quantile(image, q, mask=mask, nan=nan, threads=threads))

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON, with a format's name and version."""
        return {
            "format": "fastimg-nyul",
            "version": _VERSION,
            "percentiles": list(self.percentiles),
            "scale": list(self.scale),
            **self._sum.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; a newer version is refused.

        Raises FormatError where `record` is no such record or damaged.
        """
        if record.get("format") != "fastimg-nyul":
            raise FormatError("Nyul.from_dict: not a fastimg-nyul record")
        if record.get("version") not in (1, _VERSION):
            raise FormatError(f"Nyul.from_dict: version {record.get('version')!r}, expected {_VERSION}; update fastimg")
        try:
            low, *inner, high = record["percentiles"]
            self = cls(low=low, high=high, inner=inner, scale=tuple(record["scale"]))
            self._sum = ExactSum.from_dict(record, len(self.percentiles))
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"Nyul.from_dict: the record is damaged: {error}") from None
        return self
