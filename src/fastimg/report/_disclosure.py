"""What may leave a hospital: no cell that stands for fewer than `minimum` patients, nor one that can be worked out.

A table of counts whose total is known gives away a single hidden cell, and a hidden remainder that is small; so further
cells are hidden, smallest first, until at least two are hidden and they hold at least `minimum` together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ..errors import ArgumentError

__all__ = ["MINIMUM", "guarded", "suppress"]

MINIMUM = 10

Key = TypeVar("Key")


def suppress(counts: Mapping[Key, int], *, minimum: int = MINIMUM) -> dict[Key, int | None]:
    """Each count, or None where it must not be told. Zeros are told: a category that nobody has.

    Examples
    --------
    >>> suppress({"ok": 40, "warned": 12, "failed": 3, "other": 0})
    {'ok': 40, 'warned': None, 'failed': None, 'other': 0}
    """
    if minimum < 1:
        raise ArgumentError(f"disclosure: minimum must be at least 1, got {minimum}")
    hidden = {key for key, count in counts.items() if 0 < count < minimum}
    for key in sorted((k for k, c in counts.items() if c >= minimum), key=lambda k: counts[k]):
        if not hidden or (len(hidden) >= 2 and sum(counts[k] for k in hidden) >= minimum):
            break
        hidden.add(key)
    return {key: None if key in hidden else count for key, count in counts.items()}


def guarded(count: int, *, minimum: int = MINIMUM) -> int | None:
    """One count that stands alone."""
    return None if 0 < count < minimum else count
