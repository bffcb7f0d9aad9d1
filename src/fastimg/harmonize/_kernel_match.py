"""CT reconstruction kernels: unsharp masking, and frequency bands matched to those of a reference kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from .._arrays import all_finite, array_of, choice, empty, finite, like, native, result, thread_count
from ..errors import ArgumentError, FormatError
from ..filtering import gaussian
from ..histogram import moments
from ..histogram._select import NAN, selected
from ..image import Image
from ._exact import ExactSum

__all__ = ["KernelMatch", "unsharp"]

_VERSION = 1
_SLAB = 1 << 21  # voxels that are filtered at a time


def unsharp(
    image: Image,
    *,
    sigma_mm: float,
    amount: float,
    in_plane: bool = True,
    nan: str = "raise",
    out: Any = None,
    threads: int | None = None,
) -> Image:
    """image + amount x (image - smoothed image): sharper, or with a negative amount smoother.

    Parameters
    ----------
    image : Image (..., z, y, x)
    sigma_mm : float
        Standard deviation of the Gaussian in mm.
    amount : float
        The gain of frequency f (1/mm) becomes 1 + amount (1 - exp(-2 (pi sigma f)^2)); -1 is the smoothed image.
    in_plane : bool
        Along y and x only, as reconstruction kernels act.
    nan : {"raise", "ignore"}
        What NaN and infinite voxels do: an error, or they stay what they are and the Gaussian's weights at them are left
        out (normalised convolution: Knutsson & Westin, CVPR 1993), so that they do not spread. Padding always does that.
    out : Image or array, optional
        float32, same shape; must not overlap the image.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image, float32

    Raises
    ------
    ArgumentError
        A bare array, NaN or infinite voxels with nan="raise", a sigma that is not positive.

    Notes
    -----
    The Gaussian is cut at 4 sigma and sees the image reflected at its border: scipy.ndimage.gaussian_filter with
    mode="reflect".
    """
    choice("nan", nan, NAN)
    if not isinstance(image, Image):
        raise ArgumentError("unsharp: sigma_mm needs the spacing of an Image")
    if not finite("sigma_mm", sigma_mm) > 0:
        raise ArgumentError(f"sigma_mm: must be positive, got {sigma_mm!r}")
    amount = finite("amount", amount)
    array = native(array_of(image))
    target = result(out, array.shape, np.float32, array)
    holes = _holes(image, array, nan, threads)
    values = _float32(array)
    smooth = _smooth(image.with_array(values), sigma_mm, in_plane, holes, threads)
    _dispatch.pick(array, leaf="harmonize").unsharp(values, smooth, amount, target, threads=thread_count(threads))
    return like(image, _kept(array, holes, target))


class KernelMatch:
    """Bring CT images of any reconstruction kernel to the frequency content of a reference kernel.

    An image is split into frequency bands, differences of Gaussians of growing width; each band is multiplied by the
    ratio of the reference's energy (standard deviation in the mask) to the image's own, and the bands are added up
    again. This is repeated until the energies agree, since neighbouring bands overlap (Gallardo-Estrella et al., Eur.
    Radiol. 26:478, 2016: normalisation of lung CT for emphysema scores). In-plane only: kernels act on slices.

    Padding stays what it is and is left out of Gaussians and energies.

    What a kernel removed altogether cannot be brought back: a band that would have to grow beyond `limit` stays there.

    Learning keeps exact sums, so it streams, and merges to the same bits in any order.

    Parameters
    ----------
    sigmas_mm : sequence of float
        The Gaussians' standard deviations, increasing; the last one's image, where no kernel reaches, stays as it is.
    iterations : int
        At most so many.
    tolerance : float
        Stop when all ratios lie within 1 +- tolerance.
    limit : float
        The greatest factor by which a band grows.

    Raises
    ------
    ArgumentError
        Sigmas that do not increase from above 0, no iteration, a tolerance that is not positive, or `limit` not above 1.

    Attributes
    ----------
    ratios : (bands,) float64
        By what the bands of the last image were multiplied in the first turn: reference over image.
    """

    def __init__(
        self,
        *,
        sigmas_mm: Sequence[float] = (0.5, 1.0, 2.0, 4.0, 8.0),
        iterations: int = 20,
        tolerance: float = 0.02,
        limit: float = 8.0,
    ) -> None:
        self.sigmas_mm = tuple(finite("sigmas_mm", s) for s in sigmas_mm)
        if not self.sigmas_mm or self.sigmas_mm[0] <= 0 or sorted(set(self.sigmas_mm)) != list(self.sigmas_mm):
            raise ArgumentError(f"sigmas_mm: must be positive and increase, got {sigmas_mm!r}")
        if iterations < 1 or not finite("tolerance", tolerance) > 0 or not finite("limit", limit) > 1:
            raise ArgumentError("KernelMatch: iterations and tolerance must be positive, limit above 1")
        self.iterations, self.tolerance, self.limit = int(iterations), float(tolerance), float(limit)
        self._sum = ExactSum(len(self.sigmas_mm))
        self.ratios: npt.NDArray[np.float64] = np.full(len(self.sigmas_mm), np.nan)

    def energies(
        self, image: Image, *, mask: Any = None, nan: str = "raise", threads: int | None = None
    ) -> npt.NDArray[np.float64]:
        """Standard deviation of each band inside the mask, finest first, in the image's unit; `nan` as in `fit`."""
        choice("nan", nan, NAN)
        image = _checked(image)
        return self._energies(image, mask, _holes(image, native(array_of(image)), nan, threads), threads)

    def fit(
        self,
        references: Iterable[Image],
        *,
        masks: Iterable[Any] | None = None,
        nan: str = "raise",
        threads: int | None = None,
    ) -> Self:
        """Learn the mean energies of images that were reconstructed with the reference kernel.

        Parameters
        ----------
        references : iterable of Image (..., z, y, x)
            CT in HU; read one at a time.
        masks : iterable of Image or array, optional
            One for each (None: all voxels but padding): where the energies are measured, such as the lungs.
        nan : {"raise", "ignore"}
            What NaN and infinite voxels do, in a mask or not: an error, or they are left out of Gaussians and energies.
        threads : int, optional
            Default: `config.threads()`.

        Raises
        ------
        ArgumentError
            No image was given.
        """
        self._sum = ExactSum(len(self.sigmas_mm))
        for image, mask in zip(references, repeat(None) if masks is None else masks, strict=masks is not None):
            self.partial_fit(image, mask=mask, nan=nan, threads=threads)
        if not self.count:
            raise ArgumentError("KernelMatch.fit: no image was given")
        return self

    def partial_fit(self, image: Image, *, mask: Any = None, nan: str = "raise", threads: int | None = None) -> Self:
        """Add one image of the reference kernel; parameters and errors as in `fit`."""
        self._sum.add(self.energies(image, mask=mask, nan=nan, threads=threads))
        return self

    def merge(self, other: KernelMatch) -> KernelMatch:
        """What was learnt from the images of both; neither is changed.

        Raises ArgumentError where `other` has other sigmas.
        """
        if self.sigmas_mm != other.sigmas_mm:
            raise ArgumentError("KernelMatch.merge: sigmas_mm must be the same")
        both = KernelMatch.from_dict(self.to_dict())
        both._sum = self._sum + other._sum
        return both

    @property
    def count(self) -> int:
        """Of images learnt from."""
        return self._sum.count

    @property
    def reference(self) -> npt.NDArray[np.float64]:
        """Mean energies of the reference kernel; ArgumentError before `fit`."""
        if not self.count:
            raise ArgumentError("KernelMatch: not fitted; call fit or partial_fit first")
        return self._sum.mean()

    def transform(
        self, image: Image, *, mask: Any = None, nan: str = "raise", out: Any = None, threads: int | None = None
    ) -> Image:
        """The image with the reference's energies, float32; `mask` is where its own are measured.

        With nan="ignore" NaN and infinite voxels stay what they are. `out` is an array to write to, `threads` defaults to
        `config.threads()`. Raises ArgumentError before `fit`, and where a band of the image is empty.
        """
        choice("nan", nan, NAN)
        reference = self.reference
        image = _checked(image)
        array = native(array_of(image))
        holes = _holes(image, array, nan, threads)
        target = result(out, array.shape, np.float32, array)
        target[...] = array
        now = image.with_array(target)
        total = np.ones(len(reference))
        for turn in range(self.iterations):
            own = self._energies(now, mask, holes, threads)
            if not (own > 0).all():
                raise ArgumentError("KernelMatch: a band of the image is empty; it has one value where it counts")
            wanted = np.minimum(total * reference / own, self.limit)
            ratios, total = wanted / total, wanted
            if turn == 0:
                self.ratios = reference / own
            elif (np.abs(ratios - 1) <= self.tolerance).all():
                break
            self._scale(now, ratios, holes, threads)
        return like(image, _kept(array, holes, target))

    def _slabs(self, image: Image) -> Iterable[slice]:
        """Of the slices of all leading axes, laid one behind the other."""
        step = max(1, _SLAB // (image.shape[-1] * image.shape[-2]))
        count = int(np.prod(image.shape[:-2]))
        return [slice(at, at + step) for at in range(0, count, step)]

    def _slices(self, image: Image) -> Image:
        return Image(image.array.reshape(-1, *image.shape[-2:]), spacing=image.spacing)

    def _energies(self, image: Image, mask: Any, holes: Any, threads: int | None) -> npt.NDArray[np.float64]:
        slices = self._slices(image)
        inside = selected(image, mask)[1]
        if holes is not None:
            sound = (~holes).reshape(-1).view(np.uint8)
            inside = sound if inside is None else inside & sound
        inside = None if inside is None else inside.reshape(slices.shape)
        holes = None if holes is None else holes.reshape(slices.shape)
        leaf = _dispatch.pick(image.array, leaf="harmonize")
        sums = np.zeros((len(self.sigmas_mm), 3))  # count, mean, sum of squared deviations
        for slab in self._slabs(image):
            part = Image(_float32(slices.array[slab]), slices.affine)
            chosen = None if inside is None else inside[slab]
            before = part.array
            for turn, sigma in enumerate(self.sigmas_mm):
                after = _smooth(part, sigma, True, None if holes is None else holes[slab], threads)
                band = empty(after.shape, np.float32, after)
                leaf.combine([before, after], [1, -1], band, threads=thread_count(threads))
                seen = moments(band, mask=chosen, threads=threads)
                before = after
                if not seen.count:
                    continue
                count, mean, m2 = sums[turn]
                apart, both = seen.mean - mean, count + seen.count
                sums[turn] = both, mean + apart * seen.count / both, m2 + seen.m2 + apart**2 * count * seen.count / both
        if not sums[0, 0]:
            raise ArgumentError("mask: no voxel is left to measure")
        return np.sqrt(sums[:, 2] / sums[:, 0])

    def _scale(self, image: Image, ratios: npt.NDArray[np.float64], holes: Any, threads: int | None) -> None:
        """image = last smoothed one + sum of ratio x band, in place; the bands telescope."""
        slices = self._slices(image)
        holes = None if holes is None else holes.reshape(slices.shape)
        weights = [ratios[0], *np.diff(np.append(ratios, 1.0))]
        leaf = _dispatch.pick(image.array, leaf="harmonize")
        for slab in self._slabs(image):
            part = Image(slices.array[slab], slices.affine)
            smooth = [_smooth(part, s, True, None if holes is None else holes[slab], threads) for s in self.sigmas_mm]
            leaf.combine([part.array, *smooth], weights, part.array, threads=thread_count(threads))

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON, with a format's name and version."""
        return {
            "format": "fastimg-kernel-match",
            "version": _VERSION,
            "sigmas_mm": list(self.sigmas_mm),
            "iterations": self.iterations,
            "tolerance": self.tolerance,
            "limit": self.limit,
            **self._sum.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; a newer version is refused.

        Raises FormatError where `record` is no such record or damaged.
        """
        if record.get("format") != "fastimg-kernel-match":
            raise FormatError("KernelMatch.from_dict: not a fastimg-kernel-match record")
        if record.get("version") != _VERSION:
            raise FormatError(
                f"KernelMatch.from_dict: version {record.get('version')!r}, expected {_VERSION}; update fastimg"
            )
        try:
            names = ("sigmas_mm", "iterations", "tolerance", "limit")
            self = cls(**{name: record[name] for name in names})
            self._sum = ExactSum.from_dict(record, len(self.sigmas_mm))
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"KernelMatch.from_dict: the record is damaged: {error}") from None
        return self


def _checked(image: Any) -> Image:
    if not isinstance(image, Image):
        raise ArgumentError("KernelMatch: bands are in mm; give an Image")
    if image.unit not in (None, "HU"):
        raise ArgumentError(f"KernelMatch: the image is in {image.unit}, not HU; reconstruction kernels are of CT")
    return image


def _float32(array: Any) -> Any:
    return array if array.dtype == np.float32 else array.astype(np.float32)


def _holes(image: Image, array: Any, nan: str, threads: int | None) -> Any:
    """Which voxels are padding, NaN or infinite, or None where all are sound."""
    xp = _dispatch.namespace(array)
    padding = None
    if image.padding is not None and bool(image.padding.any()):
        padding = xp.array(xp.broadcast_to(image.padding != 0, array.shape))
    if all_finite(array, threads):
        return padding
    holes = ~xp.isfinite(array)
    if nan != "ignore" and not bool((holes <= (False if padding is None else padding)).all()):
        raise ArgumentError("image: NaN or infinite voxels cannot be smoothed; fill them or pass nan='ignore'")
    return holes if padding is None else holes | padding


def _kept(array: Any, holes: Any, target: Any) -> Any:
    """`target` with the holes of `array` as they were."""
    if holes is not None:
        target[holes] = array[holes]
    return target


def _smooth(image: Image, sigma_mm: float, in_plane: bool, holes: Any, threads: int | None) -> Any:
    """The smoothed array, new; 0 in holes, whose weights the other voxels share."""

    def blurred(array: Any) -> Any:
        sigmas = (0.0 if in_plane else sigma_mm, sigma_mm, sigma_mm)
        return gaussian(image.with_array(array), sigma_mm=sigmas, mode="reflect", threads=threads).array

    array = image.array
    if holes is None:
        return blurred(array)
    xp, zero, one = _dispatch.namespace(array), np.float32(0), np.float32(1)
    share = xp.where(holes, one, blurred((~holes).astype(np.float32)))  # at least a voxel's own weight
    return xp.where(holes, zero, blurred(xp.where(holes, zero, array)) / share)
