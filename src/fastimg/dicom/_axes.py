"""Slices at the same place told apart: b-value, echo, phase and time as leading axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["Candidate", "arranged"]


@dataclass(frozen=True)
class Candidate:
    """An element that may tell slices apart.

    Attributes
    ----------
    axis : str
    values : sequence
        Of every slice; None where it does not say.
    ranked : bool
        Times that differ from slice to slice: only their order at each place counts.
    gaps : bool
        Whether "does not say" is a value of its own.
    """

    axis: str
    values: Sequence[Any]
    ranked: bool = False
    gaps: bool = False


Axes = list[tuple[str, tuple[Any, ...]]]


def arranged(
    places: list[list[int]], candidates: Sequence[Candidate], tie: Sequence[Any]
) -> tuple[list[int], Axes] | None:
    """The order of slices, leading index by leading index, and the axes; None where nothing tells them apart.

    Parameters
    ----------
    places : list of list of int
        Slices at each place, in the order of places.
    candidates : sequence of Candidate
        Tried in this order; one is used where it takes the same values at every place and tells more slices apart than
        those before it.
    tie : sequence
        Of every slice, what orders them where the candidates do not suffice (instance numbers); None: unknown.

    Notes
    -----
    Where the elements used make a full grid, each is an axis. Where they do not (three directions at b = 800, one image at
    b = 0), there is one axis, of the first element, whose values repeat.
    """
    size = len(places[0])
    if any(len(place) != size for place in places):
        return None
    if size == 1:
        return [place[0] for place in places], []
    keys: dict[int, tuple[Any, ...]] = {index: () for place in places for index in place}
    used: list[tuple[str, dict[int, Any], dict[Any, Any]]] = []  # axis, key of each slice, key -> value shown
    for one in candidates:
        if one.axis in (name for name, _, _ in used):
            continue
        found = _keys(one, places)
        if found is None:
            continue
        own, shown = found
        grown = {index: (*key, own[index]) for index, key in keys.items()}
        if len({grown[i] for i in places[0]}) > len({keys[i] for i in places[0]}) and _stable(grown, places):
            keys = grown
            used.append((one.axis, own, shown))
        if len({keys[i] for i in places[0]}) == size:
            break
    if len({keys[i] for i in places[0]}) < size:
        ordered = _tied(keys, places, tie)
        if ordered is None:
            return None
        last = "direction" if used and used[0][0] == "b" else "t"
        rank = {i: _rank(i, place, keys, ordered) for place in ordered for i in place}
        if last in (name for name, _, _ in used):
            last = f"{last}2"
        used.append((last, rank, {k: k for k in range(size)}))
        keys = {index: (*key, rank[index]) for index, key in keys.items()}
    return _laid_out(places, keys, used)


def _keys(one: Candidate, places: list[list[int]]) -> tuple[dict[int, Any], dict[Any, Any]] | None:
    """The key by which each slice is sorted on this axis, and what is shown for a key."""
    own: dict[int, Any] = {}
    shown: dict[Any, Any] = {}
    for number, place in enumerate(places):
        values = [one.values[i] for i in place]
        if any(value is None for value in values) and not one.gaps:
            return None
        if not one.ranked:
            for index, value in zip(place, values, strict=True):
                own[index] = (value is not None, value if value is not None else 0)
                shown[own[index]] = value
            continue
        ranks = {value: rank for rank, value in enumerate(sorted(set(values)))}
        for index, value in zip(place, values, strict=True):
            own[index] = ranks[value]
            if number == 0:
                shown[ranks[value]] = value
    return own, shown


def _stable(keys: dict[int, tuple[Any, ...]], places: list[list[int]]) -> bool:
    first = sorted(keys[i] for i in places[0])
    return all(sorted(keys[i] for i in place) == first for place in places[1:])


def _tied(keys: dict[int, tuple[Any, ...]], places: list[list[int]], tie: Sequence[Any]) -> list[list[int]] | None:
    """Slices at each place in order of key and tie; None where the ties do not run alike at every place."""
    if any(tie[i] is None for place in places for i in place):
        return None
    ordered = [sorted(place, key=lambda i: (keys[i], tie[i])) for place in places]
    first = tie[places[0][0]]
    for place in ordered:
        if any(keys[a] == keys[b] and tie[a] == tie[b] for a, b in pairwise(place)):
            return None
    if isinstance(first, tuple):
        return ordered
    steps = {tuple(np.diff([tie[i] for i in sorted(place, key=lambda i: tie[i])]).tolist()) for place in places}
    return ordered if len(steps) == 1 else None


def _rank(index: int, place: list[int], keys: dict[int, tuple[Any, ...]], ordered: list[list[int]]) -> int:
    return [i for i in place if keys[i] == keys[index]].index(index)


def _laid_out(
    places: list[list[int]], keys: dict[int, tuple[Any, ...]], used: list[tuple[str, dict[int, Any], dict[Any, Any]]]
) -> tuple[list[int], Axes]:
    counts = [len({own[i] for i in places[0]}) for _, own, _ in used]
    size = len(places[0])
    columns = [sorted(place, key=lambda i: keys[i]) for place in places]
    order = [place[k] for k in range(size) for place in columns]
    if int(np.prod(counts)) == size:
        return order, [
            (name, tuple(shown[key] for key in sorted({own[i] for i in places[0]}))) for name, own, shown in used
        ]
    name, own, shown = used[0]
    groups = [[i for i in columns[0] if own[i] == key] for key in sorted({own[i] for i in places[0]})]
    if len({len(group) for group in groups}) == 1 and len(used) == 2:
        second, inner, told = used[1]
        if second == "t" and name == "b":
            second = "direction"
        values = tuple(told[inner[i]] for i in groups[0])
        return order, [(name, tuple(shown[own[group[0]]] for group in groups)), (second, values)]
    return order, [(name, tuple(shown[own[i]] for i in columns[0]))]
