"""Figures of a run as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..findings import CODES

if TYPE_CHECKING:
    from ..pipeline import Preview, Summary

__all__ = ["bytes_told", "finding_lines", "preview_lines", "summary_lines"]


def bytes_told(count: float) -> str:
    """ "1.2 GB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def finding_lines(counts: Mapping[str, int], severity: Callable[[str], str] | None = None) -> list[str]:
    """A line a code, the gravest first; `severity` gives a code's where a site has set it."""
    order = ("error", "quarantine", "warning", "info")
    grave = {code: severity(code) if severity is not None else CODES[code].severity for code in counts}
    ranked = sorted(counts.items(), key=lambda item: (order.index(grave[item[0]]), -item[1]))
    return [f"  {count:>6}  {code:<24} {grave[code]:<10} {CODES[code].meaning}" for code, count in ranked]


def summary_lines(summary: Summary) -> list[str]:
    """What `fastimg run` prints."""
    states = ", ".join(f"{count} {state}" for state, count in summary.states.items())
    if summary.cases == 0:
        first = "no case: no DICOM image below the input became one"
    elif summary.done == 0 and summary.pending == 0:
        first = f"nothing to do: all {summary.skipped} cases were done before ({summary.seconds:.1f} s)"
    else:
        rate = f"{60 * summary.done / summary.seconds:.0f} cases/min" if summary.seconds else ""
        first = f"{summary.done} cases made in {summary.seconds:.1f} s ({rate}), {summary.skipped} done before"
        if summary.pending:
            first += f", {summary.pending} left for the next run"
    lines = [
        first,
        f"cohort       {summary.cases} cases: {states}",
        f"read         {summary.files} files, {bytes_told(summary.bytes_in)}, {summary.series} series",
        f"identifiers  {summary.identifiers_left} left, {summary.identifiers_caught} texts stopped before they were written",
    ]
    if summary.left_out:
        lines.append("left out     " + ", ".join(f"{n} series: {why}" for why, n in summary.left_out.items()))
    if summary.feature_rows:
        lines.append(f"features     {summary.feature_rows} rows of {summary.features}")
    before, after = summary.site_effect.get("before", {}), summary.site_effect.get("after", {})
    for name, value in before.items():
        lines.append(f"site effect  {name:<20} {value:.3f} before, {after.get(name, float('nan')):.3f} after ComBat")
    if summary.findings:
        lines += ["findings", *finding_lines(summary.findings)]
    return lines


def preview_lines(seen: Preview) -> list[str]:
    """What `--dry-run` prints."""
    lines = [f"dry run of {seen.recipe}: nothing was written", "steps"]
    lines += [f"  {number}. {step}" for number, step in enumerate(seen.steps, 1)]
    lines += [
        f"read         {seen.files} files, {bytes_told(seen.bytes_in)}, {seen.series} series",
        f"cases        {seen.cases}: {seen.done} done before, {seen.to_do} to do, "
        f"{seen.set_aside} set aside by their headers",
        f"disk         {bytes_told(seen.bytes_needed)} needed at most, {bytes_told(seen.bytes_free)} free, "
        f"{bytes_told(seen.reserve)} stay free" + ("" if seen.fits else ": NOT ENOUGH"),
        f"work         {seen.workers} processes of {seen.threads} threads, {bytes_told(seen.memory)} memory at most",
    ]
    if seen.left_out:
        lines.append("left out     " + ", ".join(f"{n} series: {why}" for why, n in seen.left_out.items()))
    if seen.findings:
        lines += ["findings", *finding_lines(seen.findings)]
    return lines
