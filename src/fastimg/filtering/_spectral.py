"""Filters of IBSI 2 that are made or applied in the Fourier domain: Gabor, Simoncelli's wavelet, Riesz transforms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _dispatch, config
from .._arrays import array_of, choice, finite, like
from ..errors import ArgumentError
from ..image import Image
from ._fir import MODES, gaussian
from ._rotations import pooled

__all__ = ["gabor", "riesz", "simoncelli"]

_PAD = {"nearest": "edge", "mirror": "reflect", "reflect": "symmetric", "wrap": "wrap", "constant": "constant"}
RESPONSES = ("modulus", "real", "imaginary")


def gabor(
    image: Any,
    *,
    wavelength_mm: float,
    sigma_mm: float,
    gamma: float = 1.0,
    theta: float | Sequence[float] = 0.0,
    response: str = "modulus",
    rotation_invariant: bool = False,
    pooling: str = "mean",
    mode: str = "reflect",
    spacing: float | None = None,
    threads: int | None = None,
) -> Any:
    """Gabor filter in planes (IBSI Q88H).

    Parameters
    ----------
    image : Image or array (z, y, x)
        Any real dtype. In-plane spacing must be isotropic.
    wavelength_mm, sigma_mm : float, mm
        Of the wave and of the Gaussian along it.
    gamma : float
        Ratio of the Gaussian's widths along and across the wave.
    theta : float or sequence of float, degrees
        Orientation, clockwise in the plane; the responses of several are pooled.
    response : "modulus", "real" or "imaginary"
        Of the complex response.
    rotation_invariant : bool
        Pool over the planes at a right angle to each axis too; otherwise the plane is y, x.
    pooling : "max", "mean" or "min"
        Over orientations and planes.
    mode : str
        Border, as for `separable`.
    spacing : float, mm, optional
        Of the voxels of a bare array. Default: the image's.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image or array
        float64 for wide dtypes, else float32.

    Raises
    ------
    ArgumentError
        A length or ratio that is not above 0, or a bare array without `spacing`.

    Notes
    -----
    exp(-(x'^2 + gamma^2 y'^2) / (2 sigma^2) + 2 pi i x' / lambda), on a square of 1 + 2 floor(n / 2) voxels, n the longer
    side of the plane. One transform a slice serves all orientations. In float32 the kernel ends at 6.2 standard deviations
    and its transfer function where it is below 2e-9 of its largest value: both are below float32's rounding.
    """
    work = _volume(image)
    for name, value in (("wavelength_mm", wavelength_mm), ("sigma_mm", sigma_mm), ("gamma", gamma)):
        if finite(name, value) <= 0:
            raise ArgumentError(f"{name}: must be above 0, got {value!r}")
    choice("response", response, RESPONSES)
    choice("mode", mode, MODES)
    angles = [finite("theta", t) for t in (theta if isinstance(theta, Sequence) else [theta])]
    if isinstance(image, Image):
        steps = image.spacing
    elif spacing is not None:
        steps = (finite("spacing", spacing),) * 3
    else:
        raise ArgumentError("gabor: a bare array has no spacing; give an Image, or spacing= in mm")
    planes = (0, 1, 2) if rotation_invariant else (0,)
    if response == "modulus" and len({angle % 180 for angle in angles}) * 2 == len({angle % 360 for angle in angles}):
        angles = sorted({angle % 180 for angle in angles})  # half a turn gives the complex conjugate
    versions = [(axis, angle) for axis in planes for angle in angles]
    spectra: dict[int, Any] = {}

    def respond(version: tuple[int, float]) -> Any:
        axis, angle = version
        stack = work.transpose(_PLANES[axis])
        inner = [step for a, step in enumerate(steps) if a != axis]
        sides = stack.shape[1:]
        # Beyond so many standard deviations the kernel is below the rounding of what is computed with.
        deviations = 9 if work.dtype == np.float64 else 6.2
        reach = min(max(sides) // 2, math.ceil(deviations * sigma_mm / max(inner) / min(gamma, 1)))
        kernel = _gabor_kernel(reach, sigma_mm / max(inner), gamma, wavelength_mm / max(inner), angle)
        wide = [_fast(work, n + 2 * reach) for n in sides]
        if axis not in spectra:
            spectra.clear()
            padded = _dispatch.namespace(work).pad(stack, [(0, 0), (reach, reach), (reach, reach)], mode=_PAD[mode])
            spectra[axis] = _fft(work)(padded, wide, threads, inverse=False)
        seen = _cut_response(spectra[axis], np.fft.fft2(kernel, wide), 2 * reach, sides, threads)
        part = abs(seen) if response == "modulus" else seen.real if response == "real" else seen.imag
        return _dispatch.namespace(work).ascontiguousarray(part.transpose(np.argsort(_PLANES[axis]).tolist()))

    return like(image, pooled(versions, respond, pooling))


_PLANES = ((0, 1, 2), (1, 0, 2), (2, 0, 1))


def _cut_response(
    spectrum: Any, transfer: npt.NDArray[Any], first: int, sides: Sequence[int], threads: int | None
) -> Any:
    """The inverse transform of spectrum * transfer in slices, from `first` on along both axes.

    Only columns in which the transfer function is above rounding are transformed along y, and of those only the rows
    that are kept along x.
    """
    xp = _dispatch.namespace(spectrum)
    largest = np.abs(transfer).max(0)
    columns = np.flatnonzero(largest > largest.max() * np.finfo(spectrum.dtype).eps / 64)
    factor, places = xp.asarray(transfer[:, columns].astype(spectrum.dtype)), xp.asarray(columns)
    part = _ifft(spectrum[:, :, places] * factor, 1, threads)[:, first : first + sides[0]]
    rows = xp.zeros((*part.shape[:2], spectrum.shape[2]), spectrum.dtype)
    rows[:, :, places] = part
    return _ifft(rows, 2, threads)[:, :, first : first + sides[1]]


def _gabor_kernel(reach: int, sigma: float, gamma: float, wavelength: float, theta: float) -> npt.NDArray[Any]:
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(float)
    turn = math.radians(theta)
    along = y * math.sin(turn) + x * math.cos(turn)
    across = -y * math.cos(turn) + x * math.sin(turn)
    envelope = np.exp(-(along**2 + gamma**2 * across**2) / (2 * sigma**2))
    return np.asarray(envelope * np.exp(2j * np.pi * along / wavelength))


def simoncelli(
    image: Any,
    *,
    level: int = 1,
    plane: bool = False,
    riesz_order: Sequence[int] | None = None,
    steer_mm: float | None = None,
    threads: int | None = None,
) -> Any:
    """Simoncelli's non-separable wavelet: a band of radial frequencies (IBSI PRT7).

    Parameters
    ----------
    image : Image or array (z, y, x)
        Any real dtype; taken as periodic.
    level : int
        Level of the decomposition, from 1; the band is centred at 2^-level of the Nyquist frequency.
    plane : bool
        The two-dimensional filter in each slice.
    riesz_order : sequence of int, optional
        Order along x, y, z (x, y where `plane`) of a Riesz transform of the response; see `riesz`.
    steer_mm : float, mm, optional
        Steer the Riesz transform by the structure tensor at this scale; see `riesz`.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image or array
        float64 for wide dtypes, else float32.

    Raises
    ------
    ArgumentError
        `level` is no whole number from 1 to 16.

    Notes
    -----
    cos(pi/2 log2(2 abs(f) / top)) for top/4 <= abs(f) <= top = 2^(1 - level), on normalised frequencies that run from -1 to 1
    with both ends, (2 i - N + 1) / (N - 1): the grid of the consensus response maps of IBSI 2. On the frequencies of a
    discrete transform, 2 i / N - 1, the maps of levels 2 and 3 are missed by up to 8 times their tolerance.
    """
    work = _volume(image)
    if isinstance(level, bool) or int(level) != level or not 1 <= level <= 16:
        raise ArgumentError(f"level: must be a whole number from 1 to 16, got {level!r}")
    top = 0.5 ** (level - 1)

    def band(places: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        radius = np.sqrt(sum(f**2 for f in places))
        inside = (radius >= top / 4) & (radius <= top)
        return np.where(inside, np.cos(np.pi / 2 * np.log2(np.where(inside, 2 * radius / top, 1))), 0)

    transfer = _of_real(band, work.shape[1:] if plane else work.shape, _even_grid)
    return _respond(image, work, transfer, plane, riesz_order, steer_mm, threads)


def riesz(
    image: Any,
    *,
    order: Sequence[int],
    plane: bool = False,
    steer_mm: float | None = None,
    threads: int | None = None,
) -> Any:
    """Riesz transform of an image or of a filter's response (IBSI AYRS).

    Parameters
    ----------
    image : Image or array (z, y, x)
        Any real dtype; taken as periodic. For a Riesz-transformed filter give its response: both are convolutions.
    order : sequence of int
        Order along x, y, z (x, y where `plane`).
    plane : bool
        The two-dimensional transform in each slice.
    steer_mm : float, mm, optional
        Turn the transform at each voxel into the frame of the structure tensor's eigenvectors (largest first), the
        tensor being smoothed by a Gaussian of this standard deviation.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image or array
        float64 for wide dtypes, else float32.

    Notes
    -----
    (-i)^L sqrt(L! / prod l!) prod f_d^l_d / abs(f)^L on normalised frequencies f, L the sum of orders: Unser and Van De
    Ville, IEEE Trans. Image Process. 19(3), 2010; IBSI 2 reference manual, 4.
    """
    work = _volume(image)
    return _respond(image, work, None, plane, order, steer_mm, threads)


def _respond(
    image: Any,
    work: Any,
    band: npt.NDArray[Any] | None,
    plane: bool,
    order: Sequence[int] | None,
    steer_mm: float | None,
    threads: int | None,
) -> Any:
    xp, fft = _dispatch.namespace(work), _fft(work)
    wide = list(work.shape[1:] if plane else work.shape)
    spectrum = fft(work, wide, threads, inverse=False, real=True)
    if band is not None:
        spectrum = spectrum * xp.asarray(band.astype(work.dtype))
    if order is None:
        if steer_mm is not None:
            raise ArgumentError("steer_mm: only a Riesz transform is steered; give riesz_order")
        return like(image, fft(spectrum, wide, threads, inverse=True, real=True))
    orders = [int(part) for part in order]
    if len(orders) != len(wide) or min(orders) < 0 or sum(orders) > 8 or [*order] != orders:
        raise ArgumentError(
            f"order: expected {len(wide)} whole numbers (along x, y, z) that sum to 8 or less, got {order!r}"
        )
    target = tuple(orders[::-1])

    def component(powers: tuple[int, ...]) -> Any:
        transfer = _of_real(lambda places: _riesz_transfer(places, powers), wide, np.fft.fftfreq)
        return fft(spectrum * xp.asarray(transfer.astype(spectrum.dtype)), wide, threads, inverse=True, real=True)

    if steer_mm is None:
        return like(image, component(target))
    if not isinstance(image, Image):
        raise ArgumentError("steer_mm: a bare array has no spacing; give an Image")
    if finite("steer_mm", steer_mm) <= 0:
        raise ArgumentError(f"steer_mm: must be above 0, got {steer_mm!r}")
    frame = _frame(image, work, component, len(wide), steer_mm, threads)
    return like(image, _steered(component, frame, target).astype(work.dtype, copy=False))


def _riesz_transfer(frequencies: list[npt.NDArray[Any]], powers: tuple[int, ...]) -> npt.NDArray[Any]:
    total = sum(powers)
    scale = (-1j) ** total * math.sqrt(math.factorial(total) / math.prod(math.factorial(p) for p in powers))
    radius = np.sqrt(sum(f**2 for f in frequencies))
    radius[radius == 0] = 1
    transfer = scale * np.ones(radius.shape)
    for f, power in zip(frequencies, powers, strict=True):
        transfer = transfer * (f / radius) ** power
    return np.asarray(transfer)


def _frame(image: Image, work: Any, component: Any, sides: int, steer_mm: float, threads: int | None) -> Any:
    """Eigenvectors of the structure tensor of the first-order transform, (..., axis, which), largest first."""
    xp = _dispatch.namespace(work)
    first = [component(tuple(int(a == b) for b in range(sides))) for a in range(sides)]
    sigma = [0.0 if sides == 2 and axis == 0 else steer_mm / step for axis, step in enumerate(image.spacing)]
    tensor = xp.empty((*work.shape, sides, sides), np.float64)
    for a in range(sides):
        for b in range(a, sides):
            smooth = gaussian(first[a] * first[b], sigma=sigma, mode="reflect", threads=threads)
            tensor[..., a, b] = tensor[..., b, a] = smooth
    return xp.linalg.eigh(tensor)[1][..., ::-1]


def _steered(component: Any, frame: Any, target: tuple[int, ...]) -> Any:
    """Products of (frame_d . R) to the powers of the target, as a sum over the plain transforms of the same order."""
    total = sum(target)
    sides = len(target)
    # Polynomial in R: for each way to pick an axis for each factor, the product of the direction's coordinates.
    which = [d for d, power in enumerate(target) for _ in range(power)]
    weights: dict[tuple[int, ...], Any] = {}
    # Direction d of the frame: which=0 is the largest eigenvalue; targets count x first, so the last axis is direction 0.
    for axes in product(range(sides), repeat=total):
        powers = tuple(axes.count(a) for a in range(sides))
        term = 1.0
        for axis, d in zip(axes, which, strict=True):
            term = term * frame[..., axis, sides - 1 - d]
        weights[powers] = weights.get(powers, 0.0) + term
    norm = math.sqrt(math.factorial(total) / math.prod(math.factorial(p) for p in target))
    out = 0.0
    for powers, weight in weights.items():
        own = math.sqrt(math.factorial(total) / math.prod(math.factorial(p) for p in powers))
        out = out + component(powers) * weight * (norm / own)
    return out


def _of_real(transfer: Any, shape: Sequence[int], grid: Any) -> npt.NDArray[Any]:
    """A transfer function on the half spectrum of a real image: its Hermitian part, as the response's real part has it."""

    def places(sign: int) -> list[npt.NDArray[Any]]:
        found = []
        for axis, n in enumerate(shape):
            index = (sign * np.arange(n if axis < len(shape) - 1 else n // 2 + 1)) % n
            found.append(grid(n)[index].reshape([-1 if axis == other else 1 for other in range(len(shape))]))
        return found

    return np.asarray((transfer(places(1)) + np.conj(transfer(places(-1)))) / 2)


def _even_grid(n: int) -> npt.NDArray[np.float64]:
    """Frequencies from -1 to 1 with both ends, the zero (or what is nearest) first."""
    return np.fft.ifftshift(np.linspace(-1, 1, n)) if n > 1 else np.zeros(1)


def _volume(image: Any) -> Any:
    array = array_of(image)
    if array.ndim != 3 or not array.size:
        raise ArgumentError(f"image: expected the axes z, y, x, got shape {tuple(array.shape)}")
    small = array.dtype.name in ("int8", "uint8", "int16", "uint16", "float16", "float32", "bool")
    return array.astype(np.float32 if small else np.float64)


def _fast(array: Any, size: int) -> int:
    if _dispatch.device(array) != "cpu":
        return size
    import scipy.fft

    return int(scipy.fft.next_fast_len(size))


def _ifft(values: Any, axis: int, threads: int | None) -> Any:
    if _dispatch.device(values) != "cpu":
        return _dispatch.namespace(values).fft.ifft(values, axis=axis)
    import scipy.fft

    return scipy.fft.ifft(values, axis=axis, overwrite_x=True, workers=threads or config.threads())


def _fft(array: Any) -> Any:
    """A transform over the last axes, zero-padded to a shape, on the array's device."""
    if _dispatch.device(array) == "cpu":
        import scipy.fft as package

        workers = {"workers": config.threads()}
    else:
        package, workers = _dispatch.namespace(array).fft, {}

    def run(values: Any, shape: Sequence[int], threads: int | None, *, inverse: bool, real: bool = False) -> Any:
        name = f"{'i' if inverse else ''}{'r' if real else ''}fftn"
        more = {"workers": threads} if workers and threads else workers
        return getattr(package, name)(values, shape, axes=tuple(range(-len(shape), 0)), **more)

    return run
