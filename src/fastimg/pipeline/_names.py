"""Names that may be written down: paths and sentences without a patient in them.

A part of a path stays only if it looks like what an archive numbers ("SE0002", "IM0003.dcm") and is no known
identifier; any other part becomes `~` and a keyed code, the same one every time. `fastimg scan --key` shows the codes
beside the real names, for whoever holds the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..findings import CODES, Finding

__all__ = ["Names", "telling"]

_NUMBERED = re.compile(
    r"(?i)(?:dicom|dicomdir|readme|images?|masks?|report|old|latest|clinical"
    r"|(?:im|img|image|slice|i|se|ser|series|st|stu|study|pa|pat|mask|sr|sc|ct|mr|pt|seg|rs|z)?[-_ ]?\d{1,5})"
    r"(?:\.(?:dcm|ima|txt|pdf|zip|csv|nii|gz))*"
)


# Words of fastimg's own sentences. A patient who bears one of them is not told by it there; in names and values he is.
_OWN = frozenset(word for code in CODES.values() for word in re.findall(r"[a-z]+", code.meaning.lower())) | frozenset(
    [
        "slice",
        "slices",
        "timing",
        "tilt",
        "degrees",
        "shifted",
        "distance",
        "distances",
        "shape",
        "spacing",
        "image",
        "read",
        "reading",
        "test",
    ]
)


def telling(identifiers: Iterable[str]) -> set[str]:
    """The identifiers that would tell something in a sentence of our own."""
    return {text for text in identifiers if text.casefold() not in _OWN}


class Names:
    """Turns paths into names that hold no identifier."""

    def __init__(self, key: bytes, identifiers: Iterable[str] = ()) -> None:
        self._key = key
        self._known = frozenset(text.casefold() for text in identifiers)

    def code(self, value: str, length: int = 12) -> str:
        """The keyed code of a value."""
        from .. import dicom

        return dicom.pseudonym(value, key=self._key)[:length]

    def path(self, path: str) -> str:
        """A path with every part that might name someone replaced by its code."""
        return "/".join(self._part(part) for part in re.split(r"[/\\]", path) if part not in ("", "."))

    def _part(self, part: str) -> str:
        stem = part.split(".")[0].casefold()
        if _NUMBERED.fullmatch(part) and stem not in self._known and part.casefold() not in self._known:
            return part
        return f"~{self.code(part, 10)}"

    def finding(self, found: Finding, identifiers: Iterable[str] = (), files: Iterable[str] = ()) -> Finding:
        """A finding that may be stored: places by code, only figures in its details, no identifier in its sentence.

        `files` are names that may stand in the sentence.
        """
        from .. import dicom

        message = found.message
        for file in sorted(files, key=len, reverse=True) if message else ():
            if file in message and self._part(file) != file:
                message = message.replace(file, self._part(file))
        if message and dicom.residual([message], telling(identifiers)):
            message = ""
        return Finding(found.code, message, self.path(found.where), _figures(found.details))


def _figures(details: dict[str, Any]) -> dict[str, Any]:
    def good(value: Any) -> bool:
        if isinstance(value, list | tuple):
            return all(good(entry) for entry in value)
        return isinstance(value, int | float)

    return {name: value for name, value in details.items() if good(value)}
