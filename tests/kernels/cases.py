"""For each kernels/*.cu, public calls that launch its entries: what rungs 4 of the ladder records and replays.

Sizes are small and odd, so that partial blocks, rims and tails are all reached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastimg as fi

Put = Callable[[Any], Any]


def window(put: Put) -> None:
    for dtype in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64):
        fi.harmonize.window(put(np.arange(1043).astype(dtype)), low=3, high=90)


# file -> calls
CASES: dict[str, Callable[[Put], None]] = {"window": window}
