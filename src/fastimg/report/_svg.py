"""Charts as inline SVG, drawn by hand: colours come from the page's style, so that light and dark both work.

Every chart has a role, a label that says what it shows, and a table or figures elsewhere on the page with the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["dumbbells", "lines", "stacked_bar", "ticks"]

DASHES = ("", "7 3", "2 3", "10 3 2 3", "5 2 1 2 1 2", "1 2", "12 4", "4 4")


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers between two."""
    if not math.isfinite(low) or not math.isfinite(high) or high <= low:
        return [low]
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _number(value: float) -> str:
    text = f"{value:.6g}"
    return "0" if text == "-0" else text.replace("-", "−")


def lines(
    curves: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    unit: str,
    order: Sequence[str],
    width: int = 520,
    height: int = 230,
    top: float | None = None,
) -> str:
    """Curves over one axis, one a name; a name's colour and dash follow its place in `order`.

    `top`: the largest value of the vertical axis, so that two charts can be compared; default the curves' own.
    """
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return ""
    left, right, upper, lower = 12, 12, 10, 34
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    top = top or max(y for _, y in points) or 1.0
    span = (high - low) or 1.0

    def x_of(value: float) -> float:
        return left + (value - low) / span * (width - left - right)

    def y_of(value: float) -> float:
        return height - lower - min(value / top, 1.0) * (height - upper - lower)

    base = y_of(0)
    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title, quote=True)}">',
        f"<title>{escape(title)}</title>",
    ]
    for value in ticks(low, high):
        x = x_of(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{upper}" y2="{base:.1f}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{base + 15:.1f}" text-anchor="middle">{_number(value)}</text>')
    parts.append(f'<line class="axis" x1="{left}" x2="{width - right}" y1="{base:.1f}" y2="{base:.1f}"/>')
    parts.append(
        f'<text class="tick unit" x="{width - right}" y="{height - 4}" text-anchor="end">{escape(unit)}</text>'
    )
    for name, curve in curves.items():
        place = list(order).index(name) if name in order else 0
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in curve)
        dash = DASHES[place % len(DASHES)]
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        area = f"{x_of(curve[0][0]):.1f},{base:.1f} {path} {x_of(curve[-1][0]):.1f},{base:.1f}"
        parts.append(f'<polygon class="area s{place % 8}" points="{area}"/>')
        parts.append(
            f'<polyline class="curve s{place % 8}"{dashes} points="{path}"><title>{escape(name)}</title></polyline>'
        )
    return "".join([*parts, "</svg>"])


def dumbbells(
    rows: Sequence[tuple[str, float, float]],
    *,
    title: str,
    low: float = 0.0,
    high: float = 1.0,
    mark: float | None = None,
    marked: str = "",
    width: int = 1080,
    label_width: int = 300,
) -> str:
    """Before and after of each row: a hollow point, a full one, a line between; `mark` draws a vertical line."""
    if not rows:
        return ""
    step, upper, lower = 24, 22 if mark is not None else 8, 24
    height = upper + step * len(rows) + lower
    right = 18

    def x_of(value: float) -> float:
        share = (min(max(value, low), high) - low) / ((high - low) or 1.0)
        return label_width + share * (width - label_width - right)

    bottom = height - lower
    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title, quote=True)}">',
        f"<title>{escape(title)}</title>",
    ]
    for value in ticks(low, high):
        x = x_of(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{upper}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{_number(value)}</text>')
    if mark is not None:
        x = x_of(mark)
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{upper - 4}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{upper - 9}" text-anchor="middle">{escape(marked)}</text>')
    for number, (name, before, after) in enumerate(rows):
        y = upper + step * (number + 0.5)
        told = f"{name}: {before:.3g} before, {after:.3g} after"
        worse = " worse" if after > before else ""
        parts.append(f"<g><title>{escape(told)}</title>")
        parts.append(
            f'<text class="label" x="{label_width - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(_short(name))}</text>'
        )
        parts.append(
            f'<line class="link{worse}" x1="{x_of(before):.1f}" x2="{x_of(after):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(f'<circle class="before" cx="{x_of(before):.1f}" cy="{y:.1f}" r="5"/>')
        parts.append(f'<circle class="after{worse}" cx="{x_of(after):.1f}" cy="{y:.1f}" r="5.5"/></g>')
    return "".join([*parts, "</svg>"])


def _short(name: str, most: int = 36) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def stacked_bar(parts: Sequence[tuple[str, float, str]], *, title: str, width: int = 760, height: int = 18) -> str:
    """One bar in proportion: (label, value, class)."""
    total = sum(value for _, value, _ in parts)
    if total <= 0:
        return ""
    drawn, x = [], 0.0
    for label, value, kind in parts:
        wide = value / total * width
        if wide > 0:
            drawn.append(
                f'<rect class="{escape(kind, quote=True)}" x="{x:.1f}" y="0" width="{max(wide - 2, 1):.1f}" height="{height}" rx="4">'
                f"<title>{escape(label)}</title></rect>"
            )
        x += wide
    return (
        f'<svg class="chart bar" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(title, quote=True)}"><title>{escape(title)}</title>{"".join(drawn)}</svg>'
    )
