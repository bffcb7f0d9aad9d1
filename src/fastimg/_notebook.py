"""What objects show of themselves in a notebook: HTML without script, style sheet or identifier."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

from ._png import thumbnail

__all__ = ["Features", "cohort", "image", "load_ipython_extension", "series", "table"]

WINDOWS = {"HU": (-160.0, 240.0), "SUV": (0.0, 10.0)}  # soft tissue; what readers of PET use
MOST = 20  # rows that a table shows


class Features(dict[str, float]):
    """Name to value, as a table in notebooks; a dict in everything else."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return _rows(("feature", "value"), ((name, f"{value:.6g}") for name, value in self.items()), len(self))


def image(shown: Any) -> str:
    """The middle slice, first of leading axes, and the geometry; of an array on a GPU, which stays there, the facts alone."""
    facts = [
        ("shape", " × ".join(f"{name} {size}" for name, size in zip(shown.dims, shown.shape, strict=True))),
        ("spacing", " × ".join(f"{step:.4g}" for step in shown.spacing) + " mm (z, y, x)"),
        ("values", f"{shown.dtype}{f', {shown.unit}' if shown.unit else ''}"),
        ("device", shown.device),
    ]
    picture = ""
    if shown.device == "cpu" and all(shown.shape) and np.asarray(shown.array).dtype.kind in "biuf":
        depth = shown.shape[-3] // 2
        plane = np.array(shown.array[(*(0 for _ in shown.shape[:-3]), depth)], np.float32)
        if shown.padding is not None:
            plane[np.asarray(shown.padding)[depth]] = np.nan
        low, high = window(plane, shown.unit)
        source = b64encode(thumbnail(plane, low=low, high=high)).decode()
        rows, columns = plane.shape
        height = max(1, round(240 * rows * shown.spacing[1] / (columns * shown.spacing[2])))
        picture = f'<img src="data:image/png;base64,{source}" width="240" height="{height}" alt="slice {depth} of {shown.shape[-3]}">'
    return f'<div style="display:flex;gap:16px;align-items:flex-start">{picture}{_rows(("Image", ""), facts)}</div>'


def window(plane: Any, unit: str | None) -> tuple[float | None, float | None]:
    """The grey scale's ends that are usual for a unit; None where the slice lies wholly outside, or none is usual."""
    low, high = WINDOWS.get(unit or "", (None, None))
    if (
        low is not None
        and high is not None
        and np.isfinite(plane).any()
        and np.nanmax(plane) > low
        and np.nanmin(plane) < high
    ):
        return low, high
    return None, None


def cohort(shown: Any) -> str:
    """Cases by state, and the first of them."""
    states = shown.index.column("state").to_pylist()
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    head = f"Cohort {escape(shown.path.name)}: {len(states)} cases{f' ({counts})' if counts else ''}"
    names = [
        name for name in ("case_id", "state", "modality", "site", "unit", "shape") if name in shown.index.column_names
    ]
    return f"<div>{head}</div>{table(shown.index.select(names))}"


def series(shown: Any) -> str:
    """Kind, size and findings; the patient is not named."""
    facts = [
        ("kind", shown.kind),
        ("modality", shown.modality),
        ("files", str(len(shown.paths))),
        *((name, f"{len(values)} values") for name, values in shown.axes),
        *(("finding", code) for code in sorted({found.code for found in shown.findings})),
    ]
    return _rows(("Series", ""), facts)


def table(shown: Any) -> str:
    """The first rows of a pyarrow.Table."""
    part = shown.slice(0, MOST).to_pydict()
    body = zip(*(map(_cell, part[name]) for name in shown.column_names), strict=True)
    return _rows(shown.column_names, body, shown.num_rows)


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext fastimg``: pyarrow's tables (an index, a query, features) are shown as tables."""
    ipython.display_formatter.formatters["text/html"].for_type_by_name("pyarrow.lib", "Table", table)


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)[:80]


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]], count: int | None = None) -> str:
    """A table of text; `count` rows there are, the first of which are shown."""
    shown = []
    for number, row in enumerate(rows):
        if count is not None and number == MOST:
            break
        shown.append(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>")
    more = f"<div>and {count - len(shown)} more rows</div>" if count is not None and count > len(shown) else ""
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    return f'<div style="overflow-x:auto"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(shown)}</tbody></table>{more}</div>'
