"""Checks of single values in a recipe. A checker takes what TOML gave and returns the value, or raises ValueError.

Quantities carry their unit in the text ("1.5 mm", "-160 HU", "5 %", "2 GB"): a number without a unit, or with another
one, is refused and the message shows what would do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

__all__ = [
    "Checker",
    "boolean",
    "choice",
    "column_types",
    "integer",
    "list_of",
    "nearest",
    "number",
    "optional",
    "quantity",
    "spacing",
    "text",
    "text_table",
]

Checker = Callable[[Any], Any]

# How many of the wanted unit one of the written unit is.
_UNITS: dict[str, dict[str, float]] = {
    "mm": {"mm": 1.0, "cm": 10.0, "um": 0.001, "µm": 0.001},
    "HU": {"HU": 1.0},
    "%": {"%": 1.0, "percent": 1.0},
    "bytes": {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "MiB": 2.0**20, "GiB": 2.0**30},
}
_EXAMPLE = {"mm": "1.5 mm", "HU": "-160 HU", "%": "5 %", "bytes": "2 GB"}
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\s\d]*)\s*")


def nearest(word: str, known: Sequence[str]) -> str:
    """ "; did you mean ...?" when one of the known words is close, else the list of them."""
    from difflib import get_close_matches

    close = get_close_matches(str(word).lower(), [name.lower() for name in known], n=1, cutoff=0.6)
    if close:
        return f'did you mean "{next(name for name in known if name.lower() == close[0])}"?'
    return f"known: {', '.join(known)}"


def boolean(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")
    return value


def text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError(f"expected a text in quotes, got {value!r}")
    return value


def integer(low: int, high: int | None = None) -> Checker:
    """A whole number of at least `low` and at most `high`."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low or (high is not None and value > high):
            raise ValueError(f"expected a whole number{_limits(low, high)}, got {value!r}")
        return value

    return check


def number(low: float | None = None, high: float | None = None, *, above: float | None = None) -> Checker:
    """A finite number within limits."""

    def check(value: Any) -> float:
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not good or (low is not None and value < low) or (high is not None and value > high):
            raise ValueError(f"expected a number{_limits(low, high)}, got {value!r}")
        if above is not None and value <= above:
            raise ValueError(f"expected a number above {above:g}, got {value!r}")
        return float(value)

    return check


def _limits(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    return f" of at least {low:g}" if low is not None else f" of at most {high:g}" if high is not None else ""


def quantity(unit: str, *, low: float | None = None, high: float | None = None, above: float | None = None) -> Checker:
    """A text such as "1.5 mm"; returned as a number in `unit`."""
    units = _UNITS[unit]

    def check(value: Any) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            symbol = "GB" if unit == "bytes" else unit
            raise ValueError(f'{value!r} has no unit; write it with one, for example "{value} {symbol}"')
        match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f'expected a number with its unit, such as "{_EXAMPLE[unit]}", got {value!r}')
        size, written = float(match[1]), match[2]
        if written not in units:
            named = f"the unit {written!r} does not fit" if written else f"{value!r} has no unit"
            raise ValueError(f'{named}; expected {" or ".join(units)}, such as "{_EXAMPLE[unit]}"')
        return float(number(low, high, above=above)(size * units[written]))

    return check


def choice(*options: str) -> Checker:
    """One of some words."""

    def check(value: Any) -> str:
        if value not in options or not isinstance(value, str):
            raise ValueError(f"{value!r} is none of {', '.join(options)}; {nearest(str(value), options)}")
        return value

    return check


def list_of(checker: Checker, *, least: int = 0) -> Checker:
    """A list whose entries all pass `checker`; returned as a tuple."""

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) < least:
            raise ValueError(f"expected a list{f' of at least {least}' if least else ''}, got {value!r}")
        return tuple(checker(entry) for entry in value)

    return check


def optional(checker: Checker) -> Checker:
    """As `checker`; the default None stays."""
    return checker


def spacing(value: Any) -> tuple[float, float, float] | None:
    """ "keep" (None), one length for all axes, or three: slice, row, column (z, y, x)."""
    length = quantity("mm", above=0, high=1000)
    if value == "keep":
        return None
    if isinstance(value, list):
        if len(value) != 3:
            raise ValueError(f"expected three lengths (z, y, x), got {len(value)}")
        z, y, x = (float(length(entry)) for entry in value)
        return z, y, x
    try:
        edge = float(length(value))
    except ValueError as error:
        raise ValueError(f'{error}; or "keep", or three of them (z, y, x)') from None
    return edge, edge, edge


def text_table(value: Any) -> tuple[tuple[str, str], ...]:
    """A table from texts to texts, in the order written."""
    if not isinstance(value, dict) or not all(isinstance(entry, str) for entry in value.values()):
        raise ValueError(f'expected a table of texts such as {{ "GTV*" = "lesion" }}, got {value!r}')
    return tuple(value.items())


def column_types(value: Any) -> tuple[tuple[str, str], ...]:
    """A table from columns to "number", "whole", "text", "date", or words with | between them."""
    for column, kind in text_table(value):
        words = kind.split("|")
        if kind not in ("number", "whole", "text", "date") and (len(words) < 2 or not all(words)):
            raise ValueError(f'{column}: expected number, whole, text, date, or words such as "I|II|III", got {kind!r}')
    return text_table(value)
