"""Prints pytest-benchmark's JSON as a table: ours, best peer, ratio, fewest bytes moved, share of the machine's limit, error.

python bench/table.py results.json
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

COLUMNS = ("work", "fastimg", "best peer", "ratio", "moved", "of the limit", "peak memory", "error", "clock")


def rows(report: dict) -> list[tuple[str, ...]]:
    """One row a group."""
    groups = groups_of(report)
    limits = limits_of(groups)
    table = []
    for name, found in groups.items():
        if name.startswith("machine:"):
            table.append((name, _speed(found[0]), *[""] * (len(COLUMNS) - 2)))
            continue
        ours = min((b for b in found if b["extra_info"].get("tool") == "fastimg"), key=seconds_of, default=None)
        peer = min((b for b in found if b["extra_info"].get("tool") != "fastimg"), key=seconds_of, default=None)
        if ours is None:
            continue
        info = ours["extra_info"]
        part = share_of(ours, limits)
        share = "" if part is None else f"{part:.0%} of {_limit_of(info).removeprefix('machine: ').split(',')[0]}"
        moved = _memory(info["nbytes"]) if info.get("nbytes") else ""
        memory = "" if info.get("peak_bytes") is None else _memory(info["peak_bytes"])
        if memory and peer and peer["extra_info"].get("peak_bytes") is not None:
            memory += f" (peer: {_memory(peer['extra_info']['peak_bytes'])})"
        error = "" if info.get("error") is None else f"{info['error']:.1e}"
        beside = f"{peer['extra_info']['tool']}: {_speed(peer)}" if peer else "(no peer here)"
        ratio = f"{seconds_of(peer) / seconds_of(ours):.3g}x" if peer else ""
        table.append((name, _speed(ours), beside, ratio, moved, share, memory, error, _clock(found)))
    return table


def groups_of(report: dict) -> dict[str, list[dict]]:
    """Cases by group; what a case timed beside its rounds is one of its own."""
    groups = defaultdict(list)
    for bench in report["benchmarks"]:
        group, info = groups[bench["group"] or bench["name"]], bench["extra_info"]
        group.append(bench)
        if "beside" in info:
            other = {key: info[key] for key in ("items", "unit", "nbytes")} | {"tool": info["beside"]["tool"]}
            group.append({"extra_info": other, "stats": {"min": info["beside"]["seconds"]}})
    return groups


def limits_of(groups: dict[str, list[dict]]) -> dict[str, float]:
    """Bytes a second of each limit of the machine that was measured in the same run."""
    return {
        name: rate_of(found[0])
        for name, found in groups.items()
        if name.startswith("machine:") and found[0]["extra_info"].get("nbytes")
    }


def _limit_of(info: dict) -> str:
    """The group of the limit of a case: the one that it names, or a copy on its device."""
    return info.get("limit") or ("machine: GPU copy" if info.get("device") == "cuda" else "machine: copy")


def share_of(bench: dict, limits: dict[str, float]) -> float | None:
    """Of its limit, what a case reaches; None where either was not measured."""
    limit = next((rate for name, rate in limits.items() if name.startswith(_limit_of(bench["extra_info"]))), None)
    return rate_of(bench) / limit if limit and bench["extra_info"].get("nbytes") else None


def _memory(count: int) -> str:
    return f"{count / 1e6:.3g} MB" if count < 1e9 else f"{count / 1e9:.3g} GB"


def seconds_of(bench: dict) -> float:
    """The best round; for work on a device the median between two events."""
    return bench["extra_info"].get("device_seconds") or bench["stats"]["min"]


def rate_of(bench: dict) -> float:
    return bench["extra_info"]["nbytes"] / seconds_of(bench)


def _speed(bench: dict) -> str:
    seconds, items, unit = seconds_of(bench), bench["extra_info"].get("items"), bench["extra_info"].get("unit")
    time = f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
    if not items:
        return time
    rate = items / seconds
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")):
        if rate >= factor:
            return f"{time} ({rate / factor:.3g} {prefix}{unit}/s)"
    return f"{time} ({rate:.2g} {unit}/s)"


def _clock(found: list[dict]) -> str:
    """Says where the core's clock changed by more than 15 % among the cases of a group: read that ratio with care."""
    seen = [b["extra_info"][key] for b in found for key in ("clock_before", "clock_after") if key in b["extra_info"]]
    return f"changed {max(seen) / min(seen):.2f}x" if seen and max(seen) > 1.15 * min(seen) else "steady"


def markdown(table: list[tuple[str, ...]]) -> str:
    """As a Markdown table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in table])


if __name__ == "__main__":
    print(markdown(rows(json.loads(Path(sys.argv[1]).read_text()))))
