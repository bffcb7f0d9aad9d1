"""The page of accuracy, from what the agreement tests measured (docs/accuracy.json, written by `make accuracy`)."""

from __future__ import annotations

from typing import Any

NO_BREAK_HYPHEN, NO_BREAK_SPACE = "\u2011", "\u00a0"
HEAD = """# Accuracy

How far results are from those of each peer, run beside fastimg in the same test on the same data. The tests wrote this table:
{date}, {machine} at level {isa}, `make accuracy`; none of its numbers was typed.

*Equal* is the share of values that are the same number; *largest difference* is over all values of all cases of the tests, in the
unit of the result and as a share of what the next column names. Where the share is 0, the results are the same throughout.
IBSI's rows are its consensus values: a share of at most 1 is within its tolerance.

| work | peer | values | equal | largest difference | share | of |
| --- | --- | ---: | ---: | ---: | ---: | --- |
"""


def accuracy_page(report: dict[str, Any]) -> str:
    """MyST, from the JSON of tests/accuracy.py."""
    lines = [HEAD.format(**report)]
    for row in report["rows"]:
        peer = f"{row['peer']} {row['peer_version']}".strip()
        lines.append(
            f"| {row['work']} | {peer} | {row['values']:,} | {_percent(row['equal'], row['values'])} | "
            f"{_number(row['largest'])} | {_number(row['share'])} | {row['of']} |\n"
        )
    return "".join(lines)


def _percent(part: int, whole: int) -> str:
    """Rounded towards zero, so that 100 % is every one."""
    return f"100{NO_BREAK_SPACE}%" if part == whole else f"{part * 1000 // whole / 10}{NO_BREAK_SPACE}%"


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:.2g}".replace("-", NO_BREAK_HYPHEN)
