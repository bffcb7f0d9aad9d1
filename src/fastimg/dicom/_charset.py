"""Text beyond ASCII: Specific Character Set (0008,0005) applied to raw bytes."""

from __future__ import annotations

import re
import warnings

__all__ = ["decode", "without_escapes"]

_ESCAPE = re.compile("\x1b(?:[-$()]+[A-Za-z@])?")


def without_escapes(text: str) -> str:
    """A text without escape sequences of ISO 2022: pydicom's decoder leaves those of GB 2312 (ISO IR 58) in its text."""
    return _ESCAPE.sub("", text) if "\x1b" in text else text


def decode(value: bytes, character_set: str, *, name: bool = False) -> str:
    """The text of a value; bytes that its character set does not know become U+FFFD.

    Parameters
    ----------
    value : bytes
        Raw, without padding.
    character_set : str
        The element's value, several joined by backslashes; empty means the default repertoire.
    name : bool
        Of a person: code extensions end at "^" and "=" too (PS3.5 6.1.2.5.3).
    """
    from pydicom import charset, valuerep

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            encodings = charset.convert_encodings(character_set.split("\\") if character_set else None)
            delimiters = set(valuerep.PN_DELIMS if name else valuerep.TEXT_VR_DELIMS)
            text = charset.decode_bytes(value, encodings, delimiters)
        except (LookupError, UnicodeError, ValueError):
            text = value.decode("latin-1")
    return without_escapes(text).encode("utf-8", "replace").decode()
