"""One HTML file of a benchmark's results, readable without a network: ratios, the machine's limit, growth, history.

python bench/page.py results.json HISTORY_FOLDER [gpu-bench.json] > page.html

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

from table import COLUMNS, groups_of, limits_of, rows, seconds_of, share_of

STYLE = """
:root { color-scheme: light dark; --ink: #14202b; --pale: #5b6773; --line: #d8dee4; --us: #0b7285; --them: #868e96; --bad: #b02a37; --page: #ffffff }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --pale: #9aa7b3; --line: #30363d; --us: #3bc9db; --them: #868e96; --bad: #ff8787; --page: #121417 } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: var(--ink); background: var(--page) }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem } p { color: var(--pale) }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
svg { width: 100%; height: auto } svg text { fill: var(--ink); font: 12px system-ui, sans-serif } svg .pale { fill: var(--pale) }
.us { fill: var(--us) } .them { fill: var(--them) } .bad { fill: var(--bad) }
path.us, path.them { fill: none; stroke: var(--us); stroke-width: 1.5 } path.them { stroke: var(--them) } .axis { stroke: var(--line) }
.wide { overflow-x: auto } td:nth-child(4), td:nth-child(8) { white-space: nowrap } figure { margin: 0 } figcaption { font-size: 13px; color: var(--pale) } figcaption b { color: var(--ink); font-size: 14px }
summary { cursor: pointer; color: var(--us) } :focus-visible { outline: 2px solid var(--us); outline-offset: 2px }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(21rem, 1fr)); gap: 1.4rem 2rem }
"""


def best(found: list[dict], ours: bool) -> dict | None:
    """The fastest case of fastimg, or of the peers."""
    cases = [b for b in found if (b["extra_info"].get("tool") == "fastimg") == ours]
    return min(cases, key=seconds_of, default=None)


def ratios(report: dict) -> dict[str, float]:
    """Best peer's seconds / ours, of each group that has both; growth has its own curves."""
    result = {}
    for name, found in groups_of(report).items():
        us, them = best(found, True), best(found, False)
        if us and them and not name.startswith(("machine:", "growth:")):
            result[name] = seconds_of(them) / seconds_of(us)
    return result


def errors(report: dict) -> dict[str, str]:
    """In words, by group."""
    return {name: error_of(best(found, True)) for name, found in groups_of(report).items()}


def bars(values: dict[str, float], told: dict[str, str] | None = None, *, shares: bool = False) -> str:
    """Horizontal bars on a logarithmic axis from the value 1; below 1 they point left, in another colour.

    `told` are words beside some. Of `shares` none is bad, and they are told as such.
    """
    if not values:
        return "<p>Nothing of that kind was measured.</p>"
    low = min(-0.3, math.floor(min(map(math.log10, values.values()))))
    high = max(1.0, math.ceil(max(map(math.log10, values.values()))))
    left, width, step = 470, 420, 20

    def place(exponent: float) -> float:
        return left + width * (exponent - low) / (high - low)

    parts = []
    for exponent in range(math.ceil(low), math.floor(high) + 1):
        parts.append(
            f'<line class="axis" x1="{place(exponent):.1f}" x2="{place(exponent):.1f}" y1="18" y2="{step * len(values) + 24}"/>'
            f'<text class="pale" x="{place(exponent):.1f}" y="12" text-anchor="middle">{f"{100 * 10**exponent:g} %" if shares else f"{10**exponent:g}×"}</text>'
        )
    for number, (name, value) in enumerate(sorted(values.items())):
        y, edge = 22 + step * number, place(math.log10(value))
        x, far = sorted((place(0), edge))
        parts.append(
            f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{html.escape(name[:68])}</text>'
            f'<rect class="{"us" if value >= 1 or shares else "bad"}" x="{x:.1f}" y="{y + 3}" width="{max(far - x, 1):.1f}" height="13"/>'
            f'<text x="{max(far, place(0)) + 6:.1f}" y="{y + 13}">{f"{100 * value:.3g} %" if shares else f"{value:.3g}×"}<tspan class="pale" dx="8">{(told or {}).get(name, "")}</tspan></text>'
        )
    return f'<svg viewBox="0 0 960 {step * len(values) + 30}" role="img" aria-label="Bars, each with its value">{"".join(parts)}</svg>'


Points = list[tuple[float, float]]


LEFT, RIGHT, TOP, BOTTOM = 50, 358, 30, 134


def curves(
    title: str, series: dict[str, Points], x_name: str, y_name: str, *, told: str = "", logarithmic: bool = True
) -> str:
    """Points joined by lines; ours in our colour, that of all threads broken, a peer's grey. `told` stands under the title."""
    scale = math.log10 if logarithmic else float
    every = [point for points in series.values() for point in points]
    xs, ys = [scale(x) for x, _ in every], [math.log10(y) for _, y in every]
    low, high = min(ys), max(ys)
    if high - low < 0.3:  # what hardly changes looks level
        low, high = (low + high) / 2 - 0.15, (low + high) / 2 + 0.15

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (RIGHT - LEFT) * (scale(x) - min(xs)) / (max(xs) - min(xs) or 1),
            BOTTOM - (BOTTOM - TOP) * (math.log10(y) - low) / (high - low),
        )

    parts, at = [], 8.0
    for value in ticks(10**low, 10**high):
        y = place(every[0][0], value)[1]
        parts.append(
            f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="pale" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number_of(value)}</text>'
        )
    for name, points in series.items():
        kind = "us" if name.startswith("fastimg") else "them"
        dashes = ' stroke-dasharray="5 3"' if name.endswith("all threads") else ""
        places = [place(x, y) for x, y in points]
        line = "M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<path class="{kind}" d="{line}"{dashes}/>')
        parts += [
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{html.escape(name)}, {number_of(p[0])}: {p[1]:.3g}</title></circle>'
            for (x, y), p in zip(places, points, strict=True)
        ]
        label = name.removeprefix("fastimg, ")
        parts.append(
            f'<path class="{kind}" d="M{at:.0f},12 h18"{dashes}/><text x="{at + 22:.0f}" y="16">{html.escape(label)}</text>'
        )
        at += 40 + 6.6 * len(label)
    ends = (
        f'<text class="pale" x="{LEFT}" y="152">{number_of(min(x for x, _ in every))}</text>'
        f'<text class="pale" x="{(LEFT + RIGHT) / 2}" y="152" text-anchor="middle">{x_name}</text>'
        f'<text class="pale" x="{RIGHT}" y="152" text-anchor="end">{number_of(max(x for x, _ in every))}</text>'
    )
    words = ", ".join(filter(None, (y_name, told)))
    return (
        f"<figure><figcaption><b>{html.escape(title[:60])}</b><br>{html.escape(words)}</figcaption>"
        f'<svg viewBox="0 0 370 156" role="img" aria-label="{html.escape(title)}">{"".join(parts)}{ends}</svg></figure>'
    )


def ticks(low: float, high: float) -> list[float]:
    """Two to five round numbers between both: powers of ten, or with their 2 and 5 between."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        found = [step * 10.0**k for k in decades for step in steps if low <= step * 10.0**k <= high]
        if len(found) >= 2:
            return found[:: -(-len(found) // 5)]
    return found


def number_of(value: float) -> str:
    """Such as 885 k."""
    for factor, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{value / factor:.3g}{prefix}"
    return f"{value:.3g}"


def growth(report: dict) -> list[str]:
    """Cost an item against the size, of works that were timed at three or more sizes: one thread, all, the best peer."""
    families: dict[str, dict[str, Points]] = defaultdict(lambda: defaultdict(list))
    titles, errors = {}, {}
    for name, found in groups_of(report).items():
        threads = next((words for words in ("one thread", "all threads") if name.endswith(words)), "")
        family = re.sub(r"[\d.,^×x]+ *(k|M|million|G)?", "#", name.removesuffix(f", {threads}") if threads else name)
        titles[family] = name
        errors[family] = error_of(best(found, True))
        for ours in (True, False):
            case = best(found, ours)
            if case and case["extra_info"].get("items") and not name.startswith("machine:"):
                label = ", ".join(filter(None, ("fastimg", threads))) if ours else case["extra_info"]["tool"]
                items = case["extra_info"]["items"]
                families[family][label].append((items, 1e9 * seconds_of(case) / items))
    drawn = []
    for family, series in families.items():
        long = {label: sorted(points) for label, points in series.items() if len({x for x, _ in points}) >= 3}
        if any(label.startswith("fastimg") for label in long):
            title = re.sub(r"^growth: |, \d+\^3(, .*)?$", "", titles[family]) if "growth:" in family else family
            drawn.append((title.lower(), curves(title, long, "items", "ns an item", told=errors[family])))
    return [figure for _, figure in sorted(drawn)]


def error_of(case: dict | None) -> str:
    """As words; nothing where none was measured."""
    error = case["extra_info"].get("error") if case else None
    return "" if error is None else "exact" if error == 0 else f"error {error:.1g}"


def history(folder: Path) -> list[str]:
    """Ratios to the best peer over commits, oldest first, of groups that three or more results hold."""
    reports = sorted((json.loads(path.read_text()) for path in folder.glob("*.json")), key=lambda r: r["datetime"])
    lines = defaultdict(list)
    for number, report in enumerate(reports, 1):
        for name, value in ratios(report).items():
            lines[name].append((float(number), value))
    return [
        curves(name, {"fastimg": points}, "results, oldest first", "times the best peer", logarithmic=False)
        for name, points in sorted(lines.items())
        if len(points) >= 3
    ]


def roofline(report: dict) -> dict[str, float]:
    """Share that a group reaches of its limit on the same device in the same run."""
    limits = limits_of(groups_of(report))
    shares = {name: share_of(us, limits) for name, found in groups_of(report).items() if (us := best(found, True))}
    return {name: share for name, share in shares.items() if share is not None and not name.startswith("growth:")}


def tabulated(report: dict) -> str:
    """All cases, as the Markdown table has them; those of the growth curves folded."""
    every = rows(report)
    grown = [row for row in every if row[0].startswith("growth: ")]
    text = _table([row for row in every if row not in grown])
    if grown:
        text += f"<details><summary>{len(grown)} rows of growth</summary>{_table(grown)}</details>"
    return text


def _table(found: list[tuple[str, ...]]) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in found)
    head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    return f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def on_gpu(report: dict, tests: str) -> str:
    """The section of a run of bench/on_gpu.sh; `tests` is the last line of its test suite."""
    device = report.get("machine_info", {}).get("gpu", "")
    said = f"The whole suite of GPU tests there: {html.escape(tests.strip(' ='))}. " if tests else ""
    return f"""<h2>On a GPU</h2><p>{html.escape(report.get("datetime", "")[:16])} {html.escape(device)}. {said}Times of kernels between events
on the device, against its own copy rate; peers on the same device.</p>{bars(ratios(report), errors(report))}{bars(roofline(report), shares=True)}{tabulated(report)}"""


def page(report: dict, folder: Path, gpu: Path | None = None) -> str:
    """The whole file."""
    machine, commit = report.get("machine_info", {}), report.get("commit_info", {}).get("id", "")[:10]
    commit = "" if commit.startswith("unversion") else f"commit {commit}, "
    grown, past = growth(report), history(folder)
    device = ""
    if gpu:
        tests = gpu.with_name("gpu-tests.txt")
        lines = tests.read_text().splitlines() if tests.exists() else []
        device = on_gpu(json.loads(gpu.read_text()), lines[-1] if lines else "")
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>fastimg: benchmarks</title>
<meta name="viewport" content="width=device-width"><style>{STYLE}</style><main>
<h1>fastimg: benchmarks</h1>
<p>{html.escape(report.get("datetime", "")[:16])}, {html.escape(commit)}{html.escape(machine.get("cpu", {}).get("brand_raw", ""))},
Python {html.escape(machine.get("python_version", ""))}. fastimg and its peers ran in one process on the same data; read the ratios, a
shared machine's times change.</p>
<h2>Times the best peer</h2><p>Logarithmic; a bar to the left is a peer that is faster. Beside each how far our result is from the reference: most are
shares of its range, the cases say.</p>{bars(ratios(report), errors(report))}
<h2>Share of the machine's limit</h2><p>Fewest bytes that the work needs, over the time it took, against a copy in the same run, or a
codec where the table says so. Work that computes a lot a byte cannot reach all of it; work that stays in a cache passes it.</p>{bars(roofline(report), shares=True)}
<h2>Growth</h2><p>Nanoseconds an item against the number of items, both logarithmic: a level line is a cost that grows with the size alone. The
error is that of a small cube against a definition in float64 or a peer, as a share of its range.</p>
<div class="grid">{"".join(grown) or "<p>No work of these cases has three sizes.</p>"}</div>
<h2>Over commits</h2><div class="grid">{"".join(past) or "<p>Fewer than three results are kept.</p>"}</div>
{device}<h2>All cases</h2>{tabulated(report)}</main></html>
"""


if __name__ == "__main__":
    others = [Path(word) for word in sys.argv[2:]]
    print(page(json.loads(Path(sys.argv[1]).read_text()), *others))
