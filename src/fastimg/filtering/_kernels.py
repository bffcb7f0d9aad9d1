"""Filters of IBSI 2 with finite separable kernels: mean, Laplacian of Gaussian, Laws.

Definitions: IBSI 2 reference manual (arXiv:2006.05470). `plane` filters slice by slice, in y and x.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from .._arrays import array_of, finite, like
from ..errors import ArgumentError
from ..image import Image
from ._fir import _three, separable
from ._rotations import pooled, rotated

__all__ = ["LAWS", "laplacian_of_gaussian", "laws", "mean"]

Kernel = npt.NDArray[np.float64]
ONE = np.ones(1)

# IBSI 2 reference manual, 3.4: level, edge, spot, wave, ripple; each is scaled to unit energy.
LAWS = {
    "L5": (1, 4, 6, 4, 1),
    "E5": (-1, -2, 0, 2, 1),
    "S5": (-1, 0, 2, 0, -1),
    "W5": (-1, 2, 0, -2, 1),
    "R5": (1, -4, 6, -4, 1),
    "L3": (1, 2, 1),
    "E3": (-1, 0, 1),
    "S3": (-1, 2, -1),
}


def mean(
    image: Any,
    *,
    size: int,
    plane: bool = False,
    mode: str = "reflect",
    threads: int | None = None,
) -> Any:
    """Mean over a cube, or a square in each slice (IBSI S60F).

    Parameters
    ----------
    image : Image or array (..., z, y, x)
        Any real dtype.
    size : int, voxels
        Side of the support; odd.
    plane : bool
        Filter in y and x alone.
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
        An even or non-positive size.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> round(float(fi.filtering.mean(np.arange(27.0).reshape(3, 3, 3), size=3)[1, 1, 1]), 12)
    13.0
    """
    if isinstance(size, bool) or int(size) != size or size < 1 or size % 2 == 0:
        raise ArgumentError(f"size: must be an odd whole number of voxels, got {size!r}")
    kernel = np.full(int(size), 1.0 / size)
    return separable(image, (ONE if plane else kernel, kernel, kernel), mode=mode, threads=threads)


def laplacian_of_gaussian(
    image: Any,
    *,
    sigma_mm: Any = None,
    sigma: Any = None,
    truncate: float = 4.0,
    plane: bool = False,
    mode: str = "reflect",
    threads: int | None = None,
) -> Any:
    """Laplacian of a Gaussian, sampled and cut (IBSI L6PA).

    Parameters
    ----------
    image : Image or array (..., z, y, x)
        Any real dtype.
    sigma_mm : float or (z, y, x), mm
        Scale; needs an Image.
    sigma : float or (z, y, x), voxels
        The same in voxels; one of both.
    truncate : float
        The support's half side in standard deviations: 1 + 2 floor(truncate sigma + 0.5) voxels.
    plane : bool
        The two-dimensional filter in each slice.
    mode, threads
        As for `mean`.

    Returns
    -------
    Image or array
        float32 for voxels of 8 and 16 bits and float32, else float64; per voxel squared.

    Notes
    -----
    The sum over axes of the Gaussian's second derivative along one and the Gaussian along the others, on the cube that
    the definition is cut to: the same numbers as the cube of the definition, at 7 passes for its n^3 products.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> point = np.pad(np.ones((1, 1, 1)), 8)
    >>> bool(fi.filtering.laplacian_of_gaussian(point, sigma=1.5)[8, 8, 8] < 0)
    True
    """
    if (sigma_mm is None) == (sigma is None):
        raise ArgumentError("laplacian_of_gaussian: give one of sigma_mm= (mm) and sigma= (voxels)")
    if sigma_mm is not None:
        if not isinstance(image, Image):
            raise ArgumentError("sigma_mm: a bare array has no spacing; give an Image, or sigma= in voxels")
        sigmas = [s / step for s, step in zip(_three("sigma_mm", sigma_mm), image.spacing, strict=True)]
    else:
        sigmas = _three("sigma", sigma)
    truncate = finite("truncate", truncate)
    if min(sigmas) <= 0 or truncate <= 0 or max(sigmas) * truncate > 1 << 15:
        raise ArgumentError(f"sigma: must be above 0 (and the kernel below 2^16 voxels), got {sigmas}")
    smooth = [_gauss(s, truncate) for s in sigmas]
    bend = [_bend(s, truncate) for s in sigmas]
    if plane:
        smooth[0] = ONE
    total = None
    for axis in (1, 2) if plane else (0, 1, 2):
        kernels = [bend[a] if a == axis else smooth[a] for a in range(3)]
        part = separable(array_of(image), kernels, mode=mode, threads=threads)
        total = part if total is None else total.__iadd__(part)
    return like(image, total)


def _gauss(sigma: float, truncate: float) -> Kernel:
    x = np.arange(-(r := int(truncate * sigma + 0.5)), r + 1)
    return np.asarray(np.exp(-0.5 * (x / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma))


def _bend(sigma: float, truncate: float) -> Kernel:
    x = np.arange(-(r := int(truncate * sigma + 0.5)), r + 1)
    return np.asarray((x**2 / sigma**4 - 1 / sigma**2) * _gauss(sigma, truncate))


def laws(
    image: Any,
    *,
    kernels: str,
    energy: int | None = None,
    rotation_invariant: bool = False,
    pooling: str = "max",
    mode: str = "reflect",
    threads: int | None = None,
) -> Any:
    """Laws' kernels, and the energy of their response (IBSI JTXT, PSMM).

    Parameters
    ----------
    image : Image or array (..., z, y, x)
        Any real dtype.
    kernels : str
        Names along x, y, z, as "E5L5S5"; two of them, as "L5S5", filter slice by slice. Known: `LAWS`.
    energy : int, voxels, optional
        The mean absolute response within this Chebyshev distance, in place of the response.
    rotation_invariant : bool
        Pool over the 24 rotations by right angles (4 in a slice).
    pooling : "max", "mean" or "min"
        Over rotations, before the energy.
    mode, threads
        As for `mean`.

    Returns
    -------
    Image or array
        float32 for voxels of 8 and 16 bits and float32, else float64.

    Raises
    ------
    ArgumentError
        An unknown kernel, or not two or three of them.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> fi.filtering.laws(np.ones((3, 3, 3), np.float32), kernels="E3L3L3").max()
    np.float32(0.0)
    """
    names = re.findall("..", str(kernels).upper())
    if "".join(names) != str(kernels).upper() or len(names) not in (2, 3) or not set(names) <= set(LAWS):
        raise ArgumentError(f"kernels: two or three of {', '.join(LAWS)}, as 'E5L5S5'; got {kernels!r}")
    if energy is not None and (isinstance(energy, bool) or int(energy) != energy or energy < 0):
        raise ArgumentError(f"energy: must be a distance in whole voxels, got {energy!r}")
    taps: list[Kernel | None] = [_unit(LAWS[name]) for name in reversed(names)]
    if len(taps) == 2:
        taps.insert(0, None)
    array = array_of(image)

    def respond(version: Any) -> Any:
        # Convolution: a kernel is flipped for `separable`, which correlates.
        flipped = [ONE if kernel is None else kernel[::-1] for kernel in version[0]]
        return separable(array, flipped, mode=mode, threads=threads)

    response = pooled(rotated(taps) if rotation_invariant else [(taps,)], respond, pooling)
    if energy is not None:
        response = mean(abs(response), size=2 * energy + 1, plane=len(names) == 2, mode=mode, threads=threads)
    return like(image, response)


def _unit(taps: tuple[int, ...]) -> Kernel:
    kernel = np.array(taps, np.float64)
    return np.asarray(kernel / np.sqrt((kernel**2).sum()))
