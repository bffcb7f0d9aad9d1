"""Whether the pixels themselves may show who the patient is."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydicom.dataset import Dataset

from fastimg.findings import Finding

from ._element import element
from ._quiet import value_of
from ._residual import fold

__all__ = ["RULES", "pixel_identity", "with_faces"]

# Rule -> what it stands for. A site may release a rule by its name after it has looked at what it holds.
RULES = {
    "burned-in": "BurnedInAnnotation is YES",
    "secondary-capture": "a secondary capture or a screen shot",
    "ultrasound": "an ultrasound image: names are often drawn into it",
    "document": "an encapsulated document",
    "head": "a scan of the head that was not defaced: a face can be rendered from it",
    "label": "the label or the overview of a slide",
}

CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DOCUMENT = "1.2.840.10008.5.1.4.1.1.104."
ULTRASOUND = ("1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.3")
# Words of descriptions that tell of a head, in the languages of European scanners, accents folded. Whole-body scans show the
# face too.
HEAD_WORDS = re.compile(
    r"\b(head|brain|skull|fac(e|ial)|orbit\w*|sinus\w*|neck|cerebr\w*|crani\w*|encephal\w*|encefal\w*|neuro\w*|mandib\w*|maxill\w*"
    r"|kopf\w*|schadel\w*|schaedel\w*|\w*hirn\w*|hals|gesicht\w*|tete|crane|cou|visage|cerveau|cabeza|cara|cuello|craneo"
    r"|cabeca|pescoco|testa|collo|cranio|hoofd\w*|hersen\w*|huvud\w*|hjarn\w*|glowa|glowy|mozg\w*|hlava|hlavy|mozek|mozku"
    r"|whole ?body|ganzkorper\w*|corps entier|cuerpo entero|total body)\b"
)
DESCRIBED = (
    *(("StudyDescription", "study_description"), ("SeriesDescription", "series_description")),
    ("ProtocolName", "protocol"),
)
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

    Returns
    -------
    list of Finding
        Empty where nothing is suspected.
    """
    rows: Any = source if isinstance(source, Dataset) else getattr(source, "rows", source)
    if not rows and hasattr(source, "attributes"):
        rows = [source.attributes]
    if hasattr(source, "files"):
        rows = with_faces(rows, [str(path) for path in source.files])
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


def with_faces(rows: Sequence[Mapping[str, Any]], paths: Sequence[str]) -> list[dict[str, Any]]:
    """Rows with what their files say of recognizable faces (0028,0302): "NO" of a scan that was defaced."""
    told = []
    for row, path in zip(rows, paths, strict=False):
        found = element(path, [0x00280302], 16) if row["modality"] in ("CT", "MR", "PT", "NM") else None
        told.append({**row, "recognizable": found[0].decode("ascii", "replace").strip(" \0") if found else ""})
    return told


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
    if modality in ("CT", "MR", "PT", "NM") and value("RecognizableVisualFeatures", "recognizable").upper() != "NO":
        told = " ".join(value(*names) for names in DESCRIBED)
        # Body parts are the operator's choice and often absent or another organ's: descriptions count beside them.
        if any(part.startswith(name) for name in HEADS) or HEAD_WORDS.search(fold(told).replace("_", " ")):
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
