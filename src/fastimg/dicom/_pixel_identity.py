"""Whether the pixels themselves may show who the patient is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydicom.dataset import Dataset

from fastimg.findings import Finding

from ._quiet import value_of

__all__ = ["RULES", "pixel_identity"]

# Rule -> what it stands for. A site may release a rule by its name after it has looked at what it holds.
RULES = {
    "burned-in": "BurnedInAnnotation is YES",
    "secondary-capture": "a secondary capture or a screen shot",
    "ultrasound": "an ultrasound image: names are often drawn into it",
    "document": "an encapsulated document",
    "head": "a head scan from which a face can be rendered",
    "label": "the label or the overview of a slide",
}

CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DOCUMENT = "1.2.840.10008.5.1.4.1.1.104."
ULTRASOUND = ("1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.3")
HEADS = ("HEAD", "BRAIN", "SKULL", "FACE", "HEADNECK", "NECK", "ORBIT", "SINUS", "JAW", "MAXILLA", "IAC")


def pixel_identity(source: Any, *, release: Collection[str] = ()) -> list[Finding]:
    """Findings "burned-in" for each rule by which the pixels may identify the patient.

    Parameters
    ----------
    source : Series, Dataset, mapping with the columns of a scan, or a sequence of such mappings
        Of a series every file is judged: one slice with burned-in annotation is enough. `details["files"]` counts those
        that meet the rule.
    release : collection of str
        Names of `RULES` that a site rule lets pass.
    """
    rows = getattr(source, "rows", source) if not isinstance(source, Dataset) else source
    if not rows and hasattr(source, "attributes"):
        rows = [source.attributes]
    several = not isinstance(rows, Dataset | Mapping)
    met: dict[str, int] = {}
    for row in rows if several else [rows]:
        for rule in _rules(row):
            met[rule] = met.get(rule, 0) + 1
    return [
        Finding("burned-in", RULES[rule], details={"rule": rule, **({"files": count} if several else {})})
        for rule in RULES
        if (count := met.get(rule)) and rule not in release
    ]


def _rules(source: Any) -> list[str]:
    """The rules that one file meets."""
    value = _reader(source)
    found = []
    kind, modality = value("SOPClassUID", "sop_class_uid"), value("Modality", "modality").upper()
    words = set(value("ImageType", "image_type").upper().replace("\\", " ").replace("_", " ").split())
    part = value("BodyPartExamined", "body_part").upper().replace(" ", "").replace("_", "")
    if value("BurnedInAnnotation", "burned_in").upper() == "YES":
        found.append("burned-in")
    if kind == CAPTURE or kind.startswith(CAPTURE + ".") or {"SCREEN", "SAVE"} <= words or modality in ("SC", "OT"):
        found.append("secondary-capture")
    if modality in ("US", "IVUS") or any(kind == u or kind.startswith(u + ".") for u in ULTRASOUND):
        found.append("ultrasound")
    if kind.startswith(DOCUMENT) or modality == "DOC":
        found.append("document")
    if modality in ("CT", "MR", "PT") and any(part.startswith(name) for name in HEADS):
        found.append("head")
    if words & {"LABEL", "OVERVIEW"}:
        found.append("label")
    return found


def _reader(source: Any) -> Any:
    def text(value: Any) -> str:
        if value is None:
            return ""
        return (
            " ".join(map(str, value))
            if not isinstance(value, str) and hasattr(value, "__iter__")
            else str(value).strip()
        )

    if isinstance(source, Dataset):
        return lambda keyword, column: text(value_of(source, keyword))
    table: Mapping[str, Any] = source
    return lambda keyword, column: text(table.get(column))
