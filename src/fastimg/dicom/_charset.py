"""Text beyond ASCII: Specific Character Set (0008,0005) applied to raw bytes."""

from __future__ import annotations

import warnings

__all__ = ["decode"]


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
    return text.encode("utf-8", "replace").decode()
