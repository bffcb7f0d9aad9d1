"""Image types: what features are measured on. PyRadiomics' by its names and options, or any filter of `fi.filtering`.

{"Original": {}, "LoG": {"sigma": [1, 3]}, "Wavelet": {"settings": {"bin_width": 10}},
 "laws-L5E5E5": {"filter": "laws", "kernels": "L5E5E5", "rotation_invariant": True, "energy": 7}}
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import filtering
from ..errors import ArgumentError
from ..filtering._recursive import laplacian_in
from ..filtering._wavelets import bands_in
from ..image import Image

__all__ = ["FILTERS", "TYPES", "checked", "responses"]

Array = npt.NDArray[Any]

# PyRadiomics' image types with their options and defaults (imageoperations.py of 3.0.1).
TYPES: dict[str, dict[str, Any]] = {
    "Original": {},
    "LoG": {"sigma": ()},
    "Wavelet": {"wavelet": "coif1", "level": 1, "start_level": 0},
    "Square": {},
    "SquareRoot": {},
    "Logarithm": {},
    "Exponential": {},
    "Gradient": {"gradientUseSpacing": True},
    "LBP2D": {"lbp2DRadius": 1, "lbp2DSamples": 8, "lbp2DMethod": "uniform"},
    "LBP3D": {"lbp3DLevels": 2, "lbp3DIcosphereRadius": 1, "lbp3DIcosphereSubdivision": 1},
}
FILTERS = ("gabor", "gaussian", "laplacian_of_gaussian", "laws", "mean", "riesz", "simoncelli", "wavelet")
_LBP2D = ("default", "ror", "uniform", "var")


def checked(value: Any) -> dict[str, dict[str, Any]] | None:
    """Image types with known names, options and plausible values; errors hold the nearest known name."""
    from ._settings import nearest

    if value is None:
        return None
    if not isinstance(value, Mapping) or not value:
        raise ArgumentError(f"images: expected a mapping of image type to options, got {value!r}")
    found: dict[str, dict[str, Any]] = {}
    for name, options in value.items():
        options = {} if options is None else options
        if not isinstance(options, Mapping):
            raise ArgumentError(f"images: the options of {name!r} must be a mapping, got {options!r}")
        options = dict(options)
        if "filter" in options:
            _check_filter(str(name), options)
        else:
            if name not in TYPES:
                raise ArgumentError(f"images: unknown image type {name!r}{nearest(str(name), TYPES)}")
            for option in options:
                if option not in (*TYPES[name], "settings"):
                    known = nearest(str(option), (*TYPES[name], "settings"))
                    raise ArgumentError(f"images: {name} has no option {option!r}{known}")
            _check_type(name, options)
        if not isinstance(options.get("settings", {}), Mapping):
            raise ArgumentError(f"images: settings of {name!r} must be a mapping, got {options['settings']!r}")
        found[str(name)] = options
    return found


def _check_filter(name: str, options: dict[str, Any]) -> None:
    from ._settings import nearest

    if options["filter"] not in FILTERS:
        raise ArgumentError(f"images: unknown filter {options['filter']!r}{nearest(str(options['filter']), FILTERS)}")
    if name in TYPES or "_" in name:
        raise ArgumentError(f"images: a filter's name begins its features' names: {name!r} must be another, without _")
    known = [
        parameter.name
        for parameter in inspect.signature(getattr(filtering, options["filter"])).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in ("out", "threads")
    ]
    for option in options:
        if option not in (*known, "filter", "settings"):
            raise ArgumentError(f"images: {options['filter']} has no option {option!r}{nearest(str(option), known)}")


def _check_type(name: str, options: dict[str, Any]) -> None:
    def refuse(option: str, what: str) -> None:
        raise ArgumentError(f"images: {option} of {name} must be {what}, got {options[option]!r}")

    def number(value: Any) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)

    for option, value in options.items():
        if option == "sigma":
            if isinstance(value, str) or not all(number(v) and v > 0 for v in value):
                refuse(option, "a list of numbers above 0 (mm)")
            options[option] = tuple(value)
        elif option == "wavelet" and value not in filtering.WAVELETS:
            refuse(option, "a wavelet of fi.filtering.WAVELETS")
        elif option == "gradientUseSpacing" and not isinstance(value, bool):
            refuse(option, "true or false")
        elif option == "lbp2DMethod" and value not in _LBP2D:
            refuse(option, f"one of {', '.join(_LBP2D)}")
        elif option in ("lbp2DRadius", "lbp3DIcosphereRadius") and not (number(value) and value > 0):
            refuse(option, "above 0")
        elif option in ("level", "start_level", "lbp2DSamples", "lbp3DLevels", "lbp3DIcosphereSubdivision"):
            least = 0 if option in ("start_level", "lbp3DIcosphereSubdivision") else 1
            most = {"level": 16, "start_level": 16, "lbp2DSamples": 62, "lbp3DLevels": 16}.get(option, 5)
            if not number(value) or value != int(value) or not least <= value <= most:
                refuse(option, f"a whole number from {least} to {most}")


def responses(
    name: str,
    options: Mapping[str, Any],
    image: Image,
    box: tuple[slice, slice, slice],
    selected: Callable[[], Array],
    plane_axis: int | None,
    threads: int | None,
) -> Iterator[tuple[str, Array | None]]:
    """Names of an image type, and its voxels in a box; None where the image is too small for the filter.

    Voxels are those of the whole image's response. selected: makes the region's mask in the whole image. plane_axis: the axis at a right angle to slices, where slices are measured.
    """
    if "filter" in options:
        arguments = {key: value for key, value in options.items() if key not in ("filter", "settings")}
        seen = getattr(filtering, options["filter"])(image, threads=threads, **arguments)
        yield name, seen.array[box]
        return
    own = {**TYPES[name], **{key: value for key, value in options.items() if key != "settings"}}
    array = image.array
    if name == "Original":
        yield "original", array[box]
    elif name == "LoG":
        for sigma in own["sigma"]:
            fits = min(array.shape) >= 4 and all(
                n >= math.ceil(sigma / step) + 1 for n, step in zip(array.shape, image.spacing, strict=True)
            )
            label = f"log-sigma-{str(sigma).replace('.', '-')}-mm-3D"
            yield (
                label,
                laplacian_in(image, box, sigma_mm=sigma, threads=threads) if fits else None,
            )
    elif name == "Wavelet":
        axes = [axis for axis in (2, 1, 0) if axis != plane_axis]
        bands = bands_in(
            array,
            box,
            family=own["wavelet"],
            levels=int(own["level"]),
            start_level=int(own["start_level"]),
            axes=axes,
            threads=threads,
        )
        for band, seen in bands.items():
            yield f"wavelet{band}" if "-" in band else f"wavelet-{band}", seen
    elif name == "Gradient":
        yield "gradient", _gradient(image, own["gradientUseSpacing"])[box]
    elif name == "LBP2D":
        axis = 0 if plane_axis is None else plane_axis
        found = _lbp_2d(array, axis, own["lbp2DSamples"], own["lbp2DRadius"], own["lbp2DMethod"])
        yield "lbp-2D", found[box]
    elif name == "LBP3D":
        radius, parts = own["lbp3DIcosphereRadius"], int(own["lbp3DIcosphereSubdivision"])
        for label, found in _lbp_3d(array, selected(), int(own["lbp3DLevels"]), radius, parts):
            yield label, found[box]
    else:
        yield name.lower(), _pointwise(name, array)[box]


def _pointwise(name: str, array: Array) -> Array:
    """Square, square root, logarithm, exponential, scaled to the image's largest absolute value."""
    x = array.astype(np.float64)
    top = float(np.abs(x).max())
    if top == 0:
        return x if name != "Exponential" else np.ones(x.shape)
    if name == "Square":
        return np.asarray((1 / np.sqrt(top) * x) ** 2)
    if name == "SquareRoot":
        root = np.sqrt(np.abs(x) * top)
        return np.asarray(np.where(x < 0, -root, root))
    if name == "Logarithm":
        logarithm = np.log(np.abs(x) + 1)
        logarithm = np.where(x < 0, -logarithm, logarithm)
        return np.asarray(logarithm * (top / np.abs(logarithm).max()))
    return np.asarray(np.exp(np.log(top) / top * x))


def _gradient(image: Image, use_spacing: bool) -> Array:
    """Magnitude of central differences, borders repeated: itk::GradientMagnitudeImageFilter."""
    array = image.array
    total = np.zeros(array.shape)
    for axis in (2, 1, 0):
        scale = 0.5 * (1.0 / image.spacing[axis] if use_spacing else 1.0)
        wide = np.pad(array.astype(np.float64), [(1, 1) if a == axis else (0, 0) for a in range(3)], "edge") * scale
        n = array.shape[axis]
        slope = np.take(wide, np.arange(2, n + 2), axis) - np.take(wide, np.arange(n), axis)
        total += slope * slope
    return np.sqrt(total).astype(np.float32)


def _lbp_2d(array: Array, axis: int, samples: int, radius: float, method: str) -> Array:
    """Local binary patterns of slices (Ojala, Pietikainen, Maenpaa 2002), samples interpolated linearly, 0 outside.

    As skimage.feature.local_binary_pattern; codes are stored in the image's type.
    """
    samples = int(samples)
    stack = array.swapaxes(0, axis).astype(np.float64)
    turn = 2 * np.pi * np.arange(samples) / samples
    rows, columns = np.round(-radius * np.sin(turn), 5), np.round(radius * np.cos(turn), 5)
    around = [_shifted(stack, r, c) for r, c in zip(rows, columns, strict=True)]
    code: Array
    if method == "var":
        total, squares = np.sum(around, axis=0), np.sum([a * a for a in around], axis=0)
        variance = (squares - total * total / samples) / samples
        with np.errstate(invalid="ignore"):
            code = np.where(variance == 0, np.nan, variance) if array.dtype.kind == "f" else variance
    else:
        bits = [a >= stack for a in around]
        if method == "uniform":
            ones = np.sum(bits, axis=0)
            changes = np.sum([bits[t] != bits[t + 1] for t in range(samples - 1)], axis=0)
            code = np.where(changes <= 2, ones, samples + 1).astype(np.float64)
        else:
            word = sum(bit.astype(np.uint64) << np.uint64(t) for t, bit in enumerate(bits))
            if method == "ror":
                least, mask = word, np.uint64((1 << samples) - 1)
                for t in range(1, samples):
                    turned = ((word >> np.uint64(t)) | (word << np.uint64(samples - t))) & mask
                    least = np.minimum(least, turned)
                word = least
            code = np.asarray(word).astype(np.float64)
    return np.ascontiguousarray(code.astype(array.dtype).swapaxes(0, axis))


def _shifted(stack: Array, row: float, column: float) -> Array:
    """Samples at an offset within each plane, linear in the rows of the four voxels around, 0 outside."""
    high, wide = stack.shape[1:]
    reach = math.ceil(max(abs(row), abs(column))) + 1
    padded = np.pad(stack, [(0, 0), (reach, reach), (reach, reach)])
    # places, not offsets, are split into whole and rest, as skimage does: their rests differ in the last bit
    r, c = np.arange(high) + row, np.arange(wide) + column
    dr, dc = (r - np.floor(r))[:, None], c - np.floor(c)
    rows = [np.asarray(edge).astype(int) + reach for edge in (np.floor(r), np.ceil(r))]
    columns = [np.asarray(edge).astype(int) + reach for edge in (np.floor(c), np.ceil(c))]
    upper, lower = (padded[:, index] for index in rows)
    top = (1 - dc) * upper[:, :, columns[0]] + dc * upper[:, :, columns[1]]
    bottom = (1 - dc) * lower[:, :, columns[0]] + dc * lower[:, :, columns[1]]
    return np.asarray((1 - dr) * top + dr * bottom)


def _lbp_3d(array: Array, selected: Array, levels: int, radius: float, parts: int) -> Iterator[tuple[str, Array]]:
    """Rotation-invariant patterns on a sphere by spherical harmonics (Banerjee et al. 2013), as PyRadiomics has them."""
    from scipy import ndimage, special
    from scipy.stats import kurtosis

    points = _icosphere(parts) * radius
    theta, phi = np.arccos(points[:, 2] / radius), np.arctan2(points[:, 1], points[:, 0])

    def harmonic(m: int, n: int) -> Array:
        # PyRadiomics gives the polar angle where scipy takes the azimuth, and the azimuth where it takes the polar angle.
        if hasattr(special, "sph_harm_y"):
            return np.asarray(special.sph_harm_y(n, m, phi, theta))
        return np.asarray(special.sph_harm(m, n, theta, phi))

    orders = [(n, m) for n in range(levels) for m in range(-n, n + 1)]
    basis = np.stack([harmonic(m, n) for n, m in orders], axis=1)
    degree = np.array([n for n, _ in orders])
    places = np.nonzero(selected)
    found, curved = np.empty((levels, len(places[0]))), np.empty(len(places[0]))
    filtered = ndimage.spline_filter(array.astype(np.float64), 3, mode="mirror")
    for begin in range(0, len(curved), 1 << 14):
        some = np.array([place[begin : begin + (1 << 14)] for place in places])
        where = some[:, :, None] + points.T[:, None, :]
        seen = np.empty(where.shape[1:], array.dtype)
        ndimage.map_coordinates(filtered, where, output=seen, order=3, prefilter=False)
        with np.errstate(all="ignore"):
            curved[begin : begin + (1 << 14)] = _quiet(kurtosis, seen)
        bits = (seen >= array[tuple(some)][:, None]).astype(np.float64)
        weights = bits @ basis
        for n in range(levels):
            part = weights[:, degree == n] @ basis[:, degree == n].T
            found[n, begin : begin + (1 << 14)] = np.real(np.sqrt((part**2).sum(axis=1)))
    for n in range(levels):
        result = np.zeros(array.shape)
        result[places] = found[n]
        yield f"lbp-3D-m{n + 1}", result
    result = np.zeros(array.shape)
    result[places] = curved
    yield "lbp-3D-k", result


def _quiet(kurtosis: Any, seen: Array) -> Array:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a flat neighbourhood has no kurtosis
        return np.asarray(kurtosis(seen, axis=1))


def _icosphere(parts: int) -> Array:
    """Vertices of an icosahedron of radius 1, each face split into four `parts` times."""
    golden = (1 + math.sqrt(5)) / 2
    corners = [
        point for a in (-1.0, 1.0) for b in (-golden, golden) for point in ((a, b, 0.0), (0.0, a, b), (b, 0.0, a))
    ]
    points = [np.array(point) / math.sqrt(1 + golden**2) for point in corners]
    edge = 2 / math.sqrt(1 + golden**2)
    faces = [
        (a, b, c)
        for a in range(12)
        for b in range(a + 1, 12)
        for c in range(b + 1, 12)
        if all(abs(float(np.linalg.norm(points[i] - points[j])) - edge) < 1e-9 for i, j in ((a, b), (b, c), (a, c)))
    ]
    for _ in range(parts):
        middles: dict[tuple[int, int], int] = {}

        def middle(i: int, j: int, known: dict[tuple[int, int], int] = middles) -> int:
            key = (min(i, j), max(i, j))
            if key not in known:
                point = points[i] + points[j]
                points.append(point / np.linalg.norm(point))
                known[key] = len(points) - 1
            return known[key]

        split = []
        for a, b, c in faces:
            ab, bc, ca = middle(a, b), middle(b, c), middle(c, a)
            split += [(a, ab, ca), (b, ab, bc), (c, bc, ca), (ab, bc, ca)]
        faces = split
    return np.array(points)
