"""The affine of NIfTI and MONAI, (i, j, k, 1) to RAS mm, and ours, (k, j, i, 1) to LPS mm."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["other_way"]

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # LPS <-> RAS
_REVERSE = np.eye(4)[[2, 1, 0, 3]]  # (i, j, k, 1) <-> (k, j, i, 1)


def other_way(affine: Any) -> npt.NDArray[np.float64]:
    """The one from the other: twice is nothing."""
    return _FLIP @ np.asarray(affine, np.float64) @ _REVERSE
