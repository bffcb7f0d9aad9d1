"""Undecimated separable wavelets (IBSI 25BO)."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from .._arrays import array_of, empty, like, thread_count
from ..errors import ArgumentError, DeviceError
from ._fir import separable
from ._rotations import pooled, rotated

__all__ = ["WAVELETS", "bands_in", "stationary_wavelet", "wavelet", "wavelet_filters"]

Kernel = npt.NDArray[np.float64]
ONE = np.ones(1)


@cache
def _singles(family: str) -> npt.NDArray[np.float32]:
    """Both filters as PyWavelets holds them in float32: in places one rounding away from the float64 ones."""
    bank = np.stack(_table()[family]).astype(np.float32)
    entry = _read()[family]
    for row, name in enumerate(("low_single", "high_single")):
        for place, value in entry.get(name, ()):
            bank[row, place] = value
    return bank


@cache
def _read() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("wavelets.toml").read_text("utf-8"))


@cache
def _table() -> dict[str, tuple[Kernel, Kernel]]:
    table = {}
    for name, entry in _read().items():
        low = np.array(entry["low"])
        mirror = low[::-1] * (-1.0) ** (np.arange(low.size) + 1)  # the high-pass filter of an orthogonal wavelet
        table[name] = (low, np.array(entry["high"]) if "high" in entry else mirror)
    return table


WAVELETS = (
    "haar",
    "dmey",
    *(f"db{n}" for n in range(1, 39)),
    *(f"sym{n}" for n in range(2, 21)),
    *(f"coif{n}" for n in range(1, 18)),
    *(
        f"{kind}{pair}"
        for kind in ("bior", "rbio")
        for pair in [
            "1.1",
            "1.3",
            "1.5",
            "2.2",
            "2.4",
            "2.6",
            "2.8",
            "3.1",
            "3.3",
            "3.5",
            "3.7",
            "3.9",
            "4.4",
            "5.5",
            "6.8",
        ]
    ),
)


def wavelet_filters(family: str) -> tuple[Kernel, Kernel]:
    """Low- and high-pass decomposition filters of a wavelet, one of `WAVELETS`.

    Raises
    ------
    ArgumentError
        An unknown family.

    Examples
    --------
    >>> import fastimg as fi
    >>> [taps.round(4).tolist() for taps in fi.filtering.wavelet_filters("haar")]
    [[0.7071, 0.7071], [-0.7071, 0.7071]]
    """
    if family not in WAVELETS:
        raise ArgumentError(
            f"family: unknown wavelet {family!r}; known are haar, dmey, db1-20, sym2-20, coif1-5, bior, rbio"
        )
    low, high = _table()[family]
    return low.copy(), high.copy()


def wavelet(
    image: Any,
    *,
    family: str,
    bands: str,
    level: int = 1,
    rotation_invariant: bool = False,
    pooling: str = "mean",
    mode: str = "reflect",
    threads: int | None = None,
) -> Any:
    """Response of an undecimated separable wavelet (IBSI 25BO).

    Parameters
    ----------
    image : Image or array (..., z, y, x)
        Any real dtype.
    family : str
        One of `WAVELETS`: "haar", "db3", "sym4", "coif1", "bior2.2" ...
    bands : str
        L or H along x, y, z, as "LHL"; two letters, as "LH", filter slice by slice.
    level : int
        Level of the decomposition, from 1; filters of level j are dilated by 2^(j-1) (a trous), after low-pass filtering
        at the levels below.
    rotation_invariant : bool
        Pool over the 24 rotations by right angles (4 in a slice).
    pooling : "max", "mean" or "min"
        Over rotations.
    mode : str
        Border, as for `separable`; "reflect" is IBSI's mirror.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    Image or array
        float32 for voxels of 8 and 16 bits and float32, else float64.

    Raises
    ------
    ArgumentError
        An unknown family, level or band.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> flat = np.ones((4, 4, 4))
    >>> round(float(fi.filtering.wavelet(flat, family="haar", bands="LLL")[1, 1, 1]), 4)
    2.8284
    """
    low, high = (_odd(taps) for taps in wavelet_filters(family))
    letters = str(bands).upper()
    if len(letters) not in (2, 3) or not set(letters) <= {"L", "H"}:
        raise ArgumentError(f"bands: two or three of L and H (along x, y, z), as 'LHL'; got {bands!r}")
    if isinstance(level, bool) or int(level) != level or not 1 <= level <= 8:
        raise ArgumentError(f"level: must be a whole number from 1 to 8, got {level!r}")
    last: list[Kernel | None] = [high if letter == "H" else low for letter in reversed(letters)]
    before: list[Kernel | None] = [low for _ in letters]
    if len(letters) == 2:
        last, before = [None, *last], [None, *before]
    array = array_of(image)

    def respond(version: Any) -> Any:
        final, first = version
        seen = array
        for step in range(int(level)):
            kernels = final if step == level - 1 else first
            seen = separable(seen, [_dilated(kernel, step) for kernel in kernels], mode=mode, threads=threads)
        return seen

    return like(image, pooled(rotated(last, before) if rotation_invariant else [(last, before)], respond, pooling))


def _odd(taps: Kernel) -> Kernel:
    """A kernel of even length gets a last tap of 0, so that its middle is half a voxel past the first half."""
    return taps if taps.size % 2 else np.append(taps, 0.0)


def _dilated(kernel: Kernel | None, step: int) -> Kernel:
    """For `separable`, which correlates: flipped, with 2^step - 1 zeros between taps."""
    if kernel is None:
        return ONE
    wide = np.zeros((kernel.size - 1) * 2**step + 1)
    wide[:: 2**step] = kernel[::-1]
    return wide


def stationary_wavelet(
    image: Any,
    *,
    family: str = "coif1",
    levels: int = 1,
    start_level: int = 0,
    axes: Sequence[int] = (2, 1, 0),
    threads: int | None = None,
) -> dict[str, Any]:
    """All bands of an undecimated wavelet transform of a periodic volume, as PyRadiomics makes them with PyWavelets.

    Parameters
    ----------
    image : Image or array (z, y, x)
        Any real dtype. An odd side is lengthened by one voxel, periodically, and cut again.
    family : str
        One of `WAVELETS`.
    levels : int
        Levels to return. Filters are not dilated from level to level: a property of PyRadiomics that is kept.
    start_level : int
        Levels to pass before the first that is returned.
    axes : sequence of int
        Axes to filter, in the order of the letters: 2 x, 1 y, 0 z.
    threads : int, optional
        Default: `config.threads()`.

    Returns
    -------
    dict
        "LLH" (level 1), "2-LLH" (level 2) ... to Image or array, the approximation last; float32 for float32, else
        float64.

    Raises
    ------
    ArgumentError
        An unknown family or axis.
    DeviceError
        The image is on a GPU.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> list(fi.filtering.stationary_wavelet(np.zeros((4, 4, 4)), axes=(2, 1)))
    ['LH', 'HL', 'HH', 'LL']
    """
    from . import _native

    bank: npt.NDArray[Any] = np.stack(wavelet_filters(family))
    axes = [int(axis) for axis in axes]
    if len(set(axes)) != len(axes) or not axes or not set(axes) <= {0, 1, 2} or axes != sorted(axes, reverse=True):
        raise ArgumentError(f"axes: some of 2, 1, 0 in this order, got {axes!r}")
    for name, value, least in (("levels", levels, 1), ("start_level", start_level, 0)):
        if isinstance(value, bool) or int(value) != value or not least <= value <= 16:
            raise ArgumentError(f"{name}: must be a whole number from {least} to 16, got {value!r}")
    array = array_of(image)
    if array.ndim != 3 or not array.size:
        raise ArgumentError(f"image: expected the axes z, y, x, got shape {tuple(array.shape)}")
    if _dispatch.device(array) != "cpu":
        raise DeviceError("stationary_wavelet works on the CPU; move the image with to_device('cpu')")
    real = np.dtype(np.float32 if array.dtype == np.float32 else np.float64)
    if real == np.float32:
        bank = _singles(family)
    values = np.ascontiguousarray(np.pad(array, [(0, n % 2) for n in array.shape], "wrap"), real)
    inner = tuple(slice(0, n) for n in array.shape)
    banks = [
        (bank.astype(real), bank.shape[1] // 2) if axis in axes else (np.ones((1, 1), real), 0) for axis in (2, 1, 0)
    ]
    names = ["".join(letters) for letters in product("LH", repeat=len(axes))]
    found: dict[str, Any] = {}
    for step in range(start_level + levels):
        bands = empty((len(names), *values.shape), real, values)
        _native.stationary(values, bands, *(part for pair in banks for part in pair), thread_count(threads))
        values = bands[0]
        if step >= start_level:
            place = step - start_level + 1
            prefix = "" if place == 1 else f"{place}-"
            for name, band in zip(names[1:], bands[1:], strict=True):
                found[prefix + name] = like(image, band[inner])
            if place == levels:
                found[prefix + names[0]] = like(image, values[inner])
    return found


def bands_in(
    array: Any,
    box: Sequence[slice],
    *,
    family: str,
    levels: int,
    start_level: int,
    axes: Sequence[int],
    threads: int | None,
) -> dict[str, Any]:
    """The voxels of `stationary_wavelet` in a box: from the box and what the filters see around it, the same bits.

    Along an axis where that reaches past a border, which is periodic, all of it is taken.
    """
    taps, steps = len(wavelet_filters(family)[0]), levels + start_level
    around, inner = [], []
    for axis, (edge, n) in enumerate(zip(box, array.shape, strict=True)):
        before, behind = ((taps - 1 - taps // 2) * steps, taps // 2 * steps) if axis in axes else (0, 0)
        cut = slice(edge.start - before, edge.stop + behind)
        if cut.start < 0 or cut.stop > n:
            cut = slice(0, n)
        around.append(cut)
        inner.append(slice(edge.start - cut.start, edge.stop - cut.start))
    bands = stationary_wavelet(
        array[tuple(around)], family=family, levels=levels, start_level=start_level, axes=axes, threads=threads
    )
    return {name: band[tuple(inner)] for name, band in bands.items()}
