"""One HTML file of a benchmark's results, readable without a network: ratios, the machine's limit, growth, history.

python bench/page.py results.json HISTORY_FOLDER > page.html

HISTORY_FOLDER holds results of earlier commits (any *.json of pytest-benchmark); `make bench` keeps each there.
"""

from __future__ import annotations

import html
import json
import math
import re
import sys
from collections import defaultdict
from pathlib import Path

from table import COLUMNS, copy_rates, groups_of, rate_of, rows, seconds_of

STYLE = """
:root { color-scheme: light dark; --ink: #14202b; --pale: #5b6773; --line: #d8dee4; --us: #0b7285; --them: #868e96; --bad: #b02a37 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --pale: #9aa7b3; --line: #30363d; --us: #3bc9db; --them: #868e96; --bad: #ff8787 } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: var(--ink) }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem } p { color: var(--pale) }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
svg { width: 100%; height: auto } svg text { fill: var(--ink); font: 12px system-ui, sans-serif } svg .pale { fill: var(--pale) }
.us { fill: var(--us) } .them { fill: var(--them) } .bad { fill: var(--bad) }
path.us { fill: none; stroke: var(--us); stroke-width: 1.5 } .axis { stroke: var(--line) }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(21rem, 1fr)); gap: 1rem }
"""


def best(found: list[dict], ours: bool) -> dict | None:
    """The fastest case of fastimg, or of the peers."""
    cases = [b for b in found if (b["extra_info"].get("tool") == "fastimg") == ours]
    return min(cases, key=seconds_of, default=None)


def ratios(report: dict) -> dict[str, float]:
    """Best peer's seconds / ours, of each group that has both."""
    result = {}
    for name, found in groups_of(report).items():
        us, them = best(found, True), best(found, False)
        if us and them and not name.startswith("machine:"):
            result[name] = seconds_of(them) / seconds_of(us)
    return result


def bars(values: dict[str, float]) -> str:
    """Horizontal bars on a logarithmic axis from the value 1; below 1 they point left, in another colour."""
    if not values:
        return "<p>No group has a peer here.</p>"
    low = min(-0.3, math.floor(min(map(math.log10, values.values()))))
    high = max(1.0, math.ceil(max(map(math.log10, values.values()))))
    left, width, step = 470, 420, 20

    def place(exponent: float) -> float:
        return left + width * (exponent - low) / (high - low)

    parts = []
    for exponent in range(math.ceil(low), math.floor(high) + 1):
        parts.append(
            f'<line class="axis" x1="{place(exponent):.1f}" x2="{place(exponent):.1f}" y1="18" y2="{step * len(values) + 24}"/>'
            f'<text class="pale" x="{place(exponent):.1f}" y="12" text-anchor="middle">{10**exponent:g}×</text>'
        )
    for number, (name, value) in enumerate(sorted(values.items())):
        y, edge = 22 + step * number, place(math.log10(value))
        x, far = sorted((place(0), edge))
        parts.append(
            f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{html.escape(name[:68])}</text>'
            f'<rect class="{"us" if value >= 1 else "bad"}" x="{x:.1f}" y="{y + 3}" width="{max(far - x, 1):.1f}" height="13"/>'
            f'<text x="{max(far, place(0)) + 6:.1f}" y="{y + 13}">{value:.3g}×</text>'
        )
    return f'<svg viewBox="0 0 960 {step * len(values) + 30}" role="img" aria-label="Ratios to the best peer">{"".join(parts)}</svg>'


def curve(title: str, points: list[tuple[float, float]], x_name: str, y_name: str, *, logarithmic: bool = True) -> str:
    """Points joined by a line."""
    scale = math.log10 if logarithmic else float
    xs, ys = [scale(x) for x, _ in points], [math.log10(y) for _, y in points]
    span_x, span_y = (max(v) - min(v) or 1 for v in (xs, ys))
    places = [
        (40 + 280 * (x - min(xs)) / span_x, 110 - 80 * (y - min(ys)) / span_y) for x, y in zip(xs, ys, strict=True)
    ]
    line = "M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(
        f'<circle class="us" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{p[0]:g}: {p[1]:.3g}</title></circle>'
        for (x, y), p in zip(places, points, strict=True)
    )
    ends = (
        f'<text class="pale" x="40" y="128">{points[0][0]:.3g} {x_name}</text>'
        f'<text class="pale" x="320" y="128" text-anchor="end">{points[-1][0]:.3g}</text>'
        f'<text class="pale" x="40" y="28">{max(y for _, y in points):.3g} {y_name}</text>'
    )
    return (
        f'<figure style="margin:0"><figcaption>{html.escape(title[:60])}</figcaption>'
        f'<svg viewBox="0 0 340 134" role="img" aria-label="{html.escape(title)}">'
        f'<path class="us" d="{line}"/>{dots}{ends}</svg></figure>'
    )


def growth(report: dict) -> list[str]:
    """Cost an item against the size, of pieces of work that were timed at three or more sizes."""
    families = defaultdict(list)
    for name, found in groups_of(report).items():
        us = best(found, True)
        if us and us["extra_info"].get("items"):
            family = re.sub(r"[\d.,^×x]+ *(k|M|million|G)?", "#", name)
            families[family].append((us["extra_info"]["items"], 1e9 * seconds_of(us) / us["extra_info"]["items"]))
    return [
        curve(name, sorted(points), "items", "ns an item")
        for name, points in sorted(families.items())
        if len({items for items, _ in points}) >= 3
    ]


def history(folder: Path) -> list[str]:
    """Ratios to the best peer over commits, oldest first, of groups that three or more results hold."""
    reports = sorted((json.loads(path.read_text()) for path in folder.glob("*.json")), key=lambda r: r["datetime"])
    lines = defaultdict(list)
    for number, report in enumerate(reports):
        for name, value in ratios(report).items():
            lines[name].append((float(number), value))
    return [
        curve(name, points, "commits ago: first", "× the peer", logarithmic=False)
        for name, points in sorted(lines.items())
        if len(points) >= 3
    ]


def roofline(report: dict) -> dict[str, float]:
    """Share of the copy rate of the same device and run that a group reaches."""
    copies = copy_rates(groups_of(report))
    shares = {}
    for name, found in groups_of(report).items():
        us = best(found, True)
        copy = copies[us["extra_info"].get("device", "cpu")] if us else None
        if us and copy and us["extra_info"].get("nbytes"):
            shares[name] = rate_of(us) / copy
    return shares


def page(report: dict, folder: Path) -> str:
    """The whole file."""
    table = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows(report))
    head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    machine, commit = report.get("machine_info", {}), report.get("commit_info", {}).get("id", "")[:10]
    grown, past = growth(report), history(folder)
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>fastimg: benchmarks</title>
<meta name="viewport" content="width=device-width"><style>{STYLE}</style><main>
<h1>fastimg: benchmarks</h1>
<p>{html.escape(report.get("datetime", "")[:16])}, commit {html.escape(commit)}, {html.escape(machine.get("cpu", {}).get("brand_raw", ""))},
Python {html.escape(machine.get("python_version", ""))}. fastimg and its peers ran in one process on the same data; read the ratios, a
shared machine's times change.</p>
<h2>Times the best peer</h2><p>Logarithmic; a bar to the left is a peer that is faster.</p>{bars(ratios(report))}
<h2>Share of the machine's copy rate</h2><p>Fewest bytes that the work needs, over the time it took, against a copy in the same run.
Work that computes a lot a byte cannot reach 1.</p>{bars(roofline(report))}
<h2>Growth</h2><div class="grid">{"".join(grown) or "<p>No work of these cases has three sizes.</p>"}</div>
<h2>Over commits</h2><div class="grid">{"".join(past) or "<p>Fewer than three results are kept.</p>"}</div>
<h2>All cases</h2><table><thead><tr>{head}</tr></thead><tbody>{table}</tbody></table></main></html>
"""


if __name__ == "__main__":
    print(page(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])))
