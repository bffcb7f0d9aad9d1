"""The page: one HTML text with its style, charts and pictures inside; it asks for nothing from anywhere."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape as _escape
from importlib.resources import files
from typing import Any

from .. import __version__
from .._png import OUTLINES
from ..findings import CODES
from . import _svg
from ._curves import panels
from ._data import STATES, CaseView, ReportData
from ._disclosure import MINIMUM, guarded, suppress

__all__ = ["page"]

MOST_PICTURES = 240
EFFECTS = {  # figure -> what it says, and which way is good
    "auc_forest": "a random forest tells the sites apart (AUC; 0.5 is chance)",
    "auc_linear": "a linear model tells the sites apart (AUC; 0.5 is chance)",
    "ks_share": "share of features whose distribution differs between sites (Kolmogorov-Smirnov)",
    "variance_explained": "share of variance that the site explains, mean over features",
    "variance_chance": "the same share by chance alone",
}


def escape(value: Any) -> str:
    """Text for HTML, in quotes or out of them."""
    return _escape(str(value), quote=True)


def page(data: ReportData, *, shareable: bool) -> str:
    """The report of `data`; `shareable`: without pictures and per-case rows, under the disclosure rules."""
    sections = [
        ("summary", "Summary", _summary(data, shareable)),
        ("cases", "Cases", "" if shareable else _cases(data)),
        ("sites", "Sites", _sites(data, shareable)),
        ("intensities", "Intensities", _intensities(data, shareable)),
        ("features", "Features", "" if shareable and data.effect_rows < MINIMUM else _features(data)),
        ("findings", "Findings", _findings(data, shareable)),
        ("identity", "Identity", _identity(data, shareable)),
        ("run", "Run", _run(data, shareable)),
    ]
    sections = [entry for entry in sections if entry[2]]
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in sections)
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    body = "".join(f'<section id="{name}" aria-label="{title}">{text}</section>' for name, title, text in sections)
    if shareable:
        stamp = f'<span class="stamp shareable">Shareable: aggregates only, cells below {MINIMUM} not shown</span>'
    else:
        stamp = '<span class="stamp internal">Node-internal: pictures and per-case rows, not to leave this site</span>'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f'<meta name="generator" content="fastimg {escape(__version__)}"><meta name="robots" content="noindex">'
        f"<title>{escape(data.title)} · fastimg report</title><style>{style}</style></head><body>"
        f'<header><div class="mark-line">{stamp}<small class="soft">{escape(data.created)}</small></div>'
        f"<h1>Cohort report: {escape(data.title)}</h1>{_paragraph(data.description)}</header>"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav><main>{body}</main>'
        f"<footer>fastimg {escape(__version__)}. Research software, not a medical device.</footer></body></html>\n"
    )


def _paragraph(text: str) -> str:
    return f'<p class="soft">{escape(text)}</p>' if text else ""


def told(count: int | None) -> str:
    """A count, or what stands for one that is not told."""
    return "not shown" if count is None else f"{count:,}".replace(",", "\u202f")


def _table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "", numbers: Sequence[int] = ()
) -> str:
    """A table of cells that are HTML already; the first of a row is its header."""

    def kind(at: int) -> str:
        return ' class="n"' if at in numbers else ""

    heads = "".join(f'<th scope="col"{kind(at)}>{escape(name)}</th>' for at, name in enumerate(head))
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(
            cell if cell.startswith("<td") else f"<td{kind(at)}>{cell}</td>" for at, cell in enumerate(row[1:], 1)
        )
        + "</tr>"
        for row in rows
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{title}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _summary(data: ReportData, shareable: bool) -> str:
    states: Mapping[str, int | None] = suppress(data.states) if shareable else data.states
    total = guarded(len(data.cases)) if shareable else len(data.cases)
    subjects = len({case.subject for case in data.cases if case.subject})
    tiles = [("", told(total), "cases")]
    if subjects:
        tiles.append(("", told(guarded(subjects) if shareable else subjects), "patients"))
    if data.sites:
        tiles.append(("", told(len(data.sites)), "site" if len(data.sites) == 1 else "sites"))
    if not shareable:
        tiles += [("", told(count), escape(name)) for name, count in data.counts.items()]
    if data.identifiers_left is not None:
        tiles.append(("bad" if data.identifiers_left else "good", told(data.identifiers_left), "identifiers left"))
    if total is not None:  # a rate and the steps' seconds tell about how many
        tiles += [("", escape(rate), escape(name)) for name, rate in data.rates.items()]
    shown = "".join(f'<li class="tile {kind}"><b>{value}</b><span>{name}</span></li>' for kind, value, name in tiles)
    bar = ""
    if not shareable:
        title = "Cases by state: " + ", ".join(f"{count} {state}" for state, count in data.states.items())
        bar = _svg.stacked_bar(
            [(f"{count} {state}", count, state) for state, count in data.states.items()], title=title
        )
    legend = "".join(f'<li><i class="{state}"></i>{state}: {told(states[state])}</li>' for state in STATES)
    return f'<ul class="tiles">{shown}</ul><div class="panel">{bar}<ul class="legend">{legend}</ul></div>'


def _cases(data: ReportData) -> str:
    if not data.cases:
        return ""
    order = sorted(data.cases, key=lambda case: (case.picture is None, case.case_id))
    pictured = [case for case in order if case.picture is not None][:MOST_PICTURES]
    cards = pictured + [case for case in order if case.picture is None][:MOST_PICTURES]
    left = len(data.cases) - len(cards)
    choices = "".join(
        f'<label><input type="radio" name="show" id="show-{state}"{" checked" if state == "all" else ""}>{state}</label>'
        for state in ("all", *(state for state in STATES if data.states[state]))
    )
    more = f'<p class="soft">{told(left)} more cases are in the cohort\'s index.</p>' if left else ""
    return (
        "<h2>Cases</h2><p class=soft>The middle slice of each case as stored, or the slice where its masks are largest; "
        f"outlines are masks.</p><fieldset class=filters><legend>Show</legend>{choices}</fieldset>"
        f'<ul class="cases">{"".join(_card(case, data.sites) for case in cards)}</ul>{more}'
    )


def _card(case: CaseView, sites: Mapping[str, str]) -> str:
    where = f"site {sites[case.site]}" if case.site in sites else ""
    if case.picture is None:
        picture = '<div class="none">no voxels stored</div>'
    else:
        alt = f"Middle slice of {case.case_id}" + (
            f" with the outline of {', '.join(case.masks)}" if case.masks else ""
        )
        source = b64encode(case.picture).decode()
        picture = f'<img src="data:image/png;base64,{source}" alt="{escape(alt)}" loading="lazy">'
    size = " × ".join(map(str, case.shape))
    lengths = [f"{value:.3g}" for value in case.spacing]
    step = " × ".join(lengths if len(set(lengths)) > 1 else lengths[:1])
    masks = ", ".join(
        f'<span class="swatch" style="background:{OUTLINES[number % len(OUTLINES)]}"></span>{escape(name)}'
        for number, name in enumerate(case.masks[:6])
    ) + (f" and {len(case.masks) - 6} more" if len(case.masks) > 6 else "")
    codes = ", ".join(f"<span>{escape(code)}</span>" for code in sorted({finding.code for finding in case.findings}))
    lines = [
        f'<div class="line"><span>{escape(" · ".join(filter(None, (case.modality, where))))}</span>'
        f'<span class="badge {escape(case.state)}">{escape(case.state)}</span></div>',
        f"<div class=soft>{escape(size)}{f' at {escape(step)} mm' if step else ''}</div>" if size else "",
        f"<div>{masks}</div>" if masks else "",
        f'<div class="codes">{codes}</div>' if codes else "",
    ]
    return (
        f'<li class="card {escape(case.state)}"><div class="picture">{picture}</div>'
        f'<div class="told"><h3>{escape(case.case_id)}</h3>{"".join(lines)}</div></li>'
    )


def _sites(data: ReportData, shareable: bool) -> str:
    if not data.sites:
        return ""
    rows = []
    per_site = {code: len({c.subject or c.case_id for c in data.cases if c.site == code}) for code in data.sites}
    hidden = suppress(per_site) if shareable else per_site
    for code, letter in data.sites.items():
        own = [case for case in data.cases if case.site == code]
        if hidden[code] is None:
            rows.append([f"Site {letter}", "not shown", "", ""])
            continue
        modalities = ", ".join(sorted({case.modality for case in own if case.modality}))
        cells = [f"Site {letter}", told(hidden[code]), "" if shareable else told(len(own)), escape(modalities)]
        rows.append(cells if shareable else [*cells, f"<code>{escape(code)}</code>"])
    head = ["Site", "Patients", "" if shareable else "Cases", "Modalities"] + ([] if shareable else ["Code"])
    table = _table(head, rows, numbers=(1, 2))
    return f'<h2>Sites</h2><p class="soft">Sites are known here by a keyed code.</p><div class="panel">{table}</div>'


def _intensities(data: ReportData, shareable: bool) -> str:
    shown = panels(data, minimum=MINIMUM if shareable else 1)
    if not shown:
        return ""
    order = list(data.sites.values())
    parts = []
    for panel in shown:
        figures = []
        for name, curves, unit in (
            ("as read", panel.before, panel.unit_before),
            ("as stored", panel.after, panel.unit),
        ):
            chart = _svg.lines(
                curves, title=f"{panel.modality}, {name}: share of voxels by value", unit=unit, order=order
            )
            figures.append(f'<figure class="panel"><h3>{escape(panel.modality)}, {name}</h3>{chart}</figure>')
        keys = "".join(_key(letter, order) for letter in panel.after)
        parts.append(f'<div class="pair">{"".join(figures)}</div><ul class="legend">{keys}</ul>')
    return (
        '<h2>Intensities per site</h2><p class="soft">Distribution of the voxels above each volume\'s mean (the patient, '
        "not the air around), every case weighing the same; before and after the intensities were harmonised.</p>"
        + "".join(parts)
    )


def _key(letter: str, order: Sequence[str]) -> str:
    place = list(order).index(letter)
    dash = _svg.DASHES[place % len(_svg.DASHES)]
    line = f'<svg viewBox="0 0 30 10" aria-hidden="true"><line class="curve s{place % 8}" x1="0" x2="30" y1="5" y2="5"'
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f"<li>{line}{dashes}/></svg>Site {escape(letter)}</li>"


def _features(data: ReportData) -> str:
    if not data.effect_before and not data.features:
        return f"<h2>Features</h2>{_paragraph(data.effect_note)}" if data.effect_note else ""
    rows = []
    for name in [key for key in EFFECTS if key in data.effect_before] + [
        key for key in data.effect_before if key not in EFFECTS
    ]:
        before, after = data.effect_before[name], data.effect_after.get(name)
        if after is None:
            rows.append([f"<code>{escape(name)}</code>", escape(EFFECTS.get(name, "")), f"{before:.3f}", ""])
            continue
        kind = "better" if after < before - 5e-4 else "worse" if after > before + 5e-4 else "same"
        cell = f'<td class="n {kind}">{after:.3f}</td>'
        rows.append([f"<code>{escape(name)}</code>", escape(EFFECTS.get(name, "")), f"{before:.3f}", cell])
    table = _table(["Figure", "What it says", "Before", "After ComBat"], rows, numbers=(2, 3)) if rows else ""
    worst = sorted(data.features, key=lambda row: -row[1])[:24]
    chart = ""
    if worst:
        title = "Share of each feature's variance explained by site, before and after ComBat"
        highest = max(max(before, after) for _, before, after in worst)
        chart = (
            f'<figure class="panel"><h3>The {len(worst)} features that the site shaped most</h3>'
            f"{_svg.dumbbells(worst, title=title, high=min(1.0, max(highest * 1.05, 0.05)))}"
            "<figcaption><small>Share of variance explained by site. Hollow: before; full: after ComBat.</small></figcaption></figure>"
        )
    return f'<h2>Site effect on features</h2>{_paragraph(data.effect_note)}<div class="panel">{table}</div>{chart}'


def _findings(data: ReportData, shareable: bool) -> str:
    codes = data.codes()
    parts = ["<h2>Findings</h2>"]
    if not codes and not data.skipped:
        return "<h2>Findings</h2><p>None.</p>"
    counted: Mapping[str, int | None] = suppress(codes) if shareable else codes
    if codes:
        rows = [
            [
                f"<code>{escape(code)}</code>",
                f'<span class="badge {CODES[code].severity}">{CODES[code].severity}</span>',
                told(counted[code]),
                escape(CODES[code].meaning),
            ]
            for code in codes
        ]
        parts.append(f'<div class="panel">{_table(["Code", "Severity", "Count", "Meaning"], rows, numbers=(2,))}</div>')
    if data.skipped:
        skipped = suppress(data.skipped) if shareable else data.skipped
        rows = [[escape(reason), told(count)] for reason, count in skipped.items()]
        parts.append(f'<div class="panel">{_table(["Series left out", "Count"], rows, numbers=(1,))}</div>')
    if not shareable:
        listed = [
            [escape(case.case_id), f"<code>{escape(f.code)}</code>", escape(f.where), escape(f.message)]
            for case in data.cases
            for f in case.findings
            if f.severity != "info"
        ]
        listed += [
            ["", f"<code>{escape(f.code)}</code>", escape(f.where), escape(f.message)]
            for f in [*data.run_findings, *data.file_findings]
            if f.severity != "info"
        ]
        if listed:
            table = _table(["Case", "Code", "Where", "Particulars"], listed[:2000])
            opened = " open" if len(listed) <= 12 else ""
            parts.append(
                f'<details class="panel"{opened}><summary>Each of them ({told(len(listed))}, without information only)</summary>'
                f"{table}</details>"
            )
    return "".join(parts)


def _identity(data: ReportData, shareable: bool) -> str:
    """The compliance report of de-identification: which rules, how often; there are no values in it."""
    record = data.identity
    if not record:
        return ""
    linkable = record.get("linkable")
    options = [f"{option['meaning']} ({option['code']})" for option in record.get("options") or []]
    facts = {
        "standard": record.get("standard") or "no header was treated",
        "profile and options": "; ".join(options) or "none",
        "status": record.get("status") or "",
        "linkable without the key": "" if linkable is None else "yes, barred from export" if linkable else "no",
        "kept": record.get("kept") or "",
        "pixel rules released": ", ".join(record.get("pixel_rules_released", [])) or "none",
    }
    if not shareable:
        facts["headers treated"] = told(int(record.get("headers", 0)))
    told_facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)
    parts = [f'<h2>Identity</h2><div class="panel"><dl class="facts">{told_facts}</dl></div>']
    cases = {str(code): int(count) for code, count in record.get("cases_with", {}).items()}
    if cases:
        counted: Mapping[str, int | None] = suppress(cases) if shareable else cases
        rows = [
            [f"<code>{escape(code)}</code>", told(counted[code]), escape(CODES[code].meaning if code in CODES else "")]
            for code in cases
        ]
        parts.append(f'<div class="panel">{_table(["Cases with", "Count", "Meaning"], rows, numbers=(1,))}</div>')
    if not shareable and record.get("attributes"):
        rows = [
            [f"<code>{escape(tag)}</code>", escape(_keyword(tag)), escape(one["action"]), told(int(one["count"]))]
            for one in record["attributes"]
            for tag in [str(one["attribute"])]
        ]
        table = _table(["Attribute", "Keyword", "Action", "Count"], rows, numbers=(3,))
        parts.append(
            f'<details class="panel"><summary>What was done to each attribute ({told(len(rows))} rows)</summary>{table}</details>'
        )
    return "".join(parts)


def _keyword(tag: str) -> str:
    """The standard's keyword of an attribute told as eight digits; nothing for private ones."""
    from pydicom.datadict import keyword_for_tag

    try:
        return keyword_for_tag(int(tag, 16))
    except ValueError:
        return ""


def _run(data: ReportData, shareable: bool) -> str:
    parts = ["<h2>Run</h2>"]
    if data.steps:
        steps = "".join(f"<li>{escape(step)}</li>" for step in data.steps)
        parts.append(f'<div class="panel"><h3>What the recipe did</h3><ol class="steps">{steps}</ol></div>')
    throughput = (
        ""
        if shareable
        else "".join(f"<dt>{escape(name)}</dt><dd>{escape(rate)}</dd>" for name, rate in data.throughput.items())
    )
    if throughput:
        throughput = f'<dl class="facts">{throughput}</dl>'
    if data.seconds:
        most = max(data.seconds.values()) or 1.0
        rows = [
            [
                escape(name),
                f"{spent:.2f}",
                f'<div class="meter"><i style="width:{100 * spent / most:.1f}%"></i></div>',
            ]
            for name, spent in data.seconds.items()
        ]
        table = _table(["Step", "Seconds of work", ""], rows, numbers=(1,))
        parts.append(f'<div class="panel"><h3>Timing and throughput</h3>{throughput}{table}</div>')
    if data.provenance:
        facts = "".join(
            f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>"
            for key, value in data.provenance.items()
            if not (shareable and key == "last run")
        )  # it counts cases
        parts.append(f'<div class="panel"><h3>Provenance</h3><dl class="facts">{facts}</dl></div>')
    return "".join(parts) if len(parts) > 1 else ""
