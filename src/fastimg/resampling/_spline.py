"""B-splines of degrees 2 to 5: the prefilter's poles, and the Gaussian that goes before a coarser grid."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ._tables import AxisTable, Tables

__all__ = ["blur_kernel", "gain", "horizon", "own", "poles", "recursions"]


def poles(degree: int) -> tuple[float, ...]:
    """Unser 1999, "Splines: a perfect fit", box 2."""
    root = math.sqrt
    return {
        2: (root(8) - 3,),
        3: (root(3) - 2,),
        4: (root(664 - root(438976)) + root(304) - 19, root(664 + root(438976)) - root(304) - 19),
        5: (
            root(135 / 2 - root(17745 / 4)) + root(105 / 4) - 13 / 2,
            root(135 / 2 + root(17745 / 4)) - root(105 / 4) - 13 / 2,
        ),
    }[degree]


def horizon(pole: float, compute: str) -> int:
    """Samples after which a pole's weight is below half of the last digit of the arithmetic."""
    return math.ceil(math.log(np.finfo(compute).eps) / math.log(abs(pole)))


def recursions(degree: int, compute: str) -> list[tuple[float, int]]:
    """The poles of a degree, each with its horizon."""
    return [(pole, horizon(pole, compute)) for pole in poles(degree)]


def gain(degree: int) -> float:
    """What the recursions of one axis leave to its weights."""
    return math.prod((1 - pole) * (1 - 1 / pole) for pole in poles(degree)) if degree > 1 else 1.0


@lru_cache(maxsize=8)
def own(shape: tuple[int, int, int], degree: int) -> Tables:
    """Tables that take each sample alone, scaled, so that a spline's axes give its coefficients."""
    z, y, x = (AxisTable(n, 0, n, False, np.arange(n, dtype=np.int32), np.full((1, n), gain(degree))) for n in shape)
    return Tables(z, y, x)


def blur_kernel(step: float) -> npt.NDArray[np.float64] | None:
    """The Gaussian that makes room for samples `step` voxels apart; None where they are not further apart than the old.

    Widths at half maximum add in squares: sigma^2 = (step^2 - 1) / (8 ln 2) voxels^2 (Cardoso et al., MICCAI 2015); cut at
    4 sigma, as scipy.ndimage does.
    """
    if step <= 1 + 1e-6:
        return None
    sigma = math.sqrt((step**2 - 1) / (8 * math.log(2)))
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(kernel / kernel.sum())
