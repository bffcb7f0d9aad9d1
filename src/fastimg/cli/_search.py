"""Many texts in many bytes: is any of them anywhere? By their first four bytes, then in full."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

__all__ = ["Search"]

CHUNK = 1 << 22
ENCODINGS = ("utf-8", "latin-1", "iso8859-7", "utf-16-le")


class Search:
    """Looks for texts, in the encodings that files use.

    Examples
    --------
    >>> Search(["Müller", "4711"]).found("an die Frau MÜLLER".encode() + "Müller".encode("latin-1"))
    {'Müller'}
    """

    def __init__(self, texts: Iterable[str], *, encodings: tuple[str, ...] = ENCODINGS) -> None:
        self._by_start: dict[int, list[tuple[bytes, str]]] = {}
        for text in texts:
            for encoding in encodings:
                try:
                    needle = text.encode(encoding)
                except UnicodeEncodeError:
                    continue
                if len(needle) >= 4:
                    entries = self._by_start.setdefault(int.from_bytes(needle[:4], "little"), [])
                    if (needle, text) not in entries:
                        entries.append((needle, text))
        self._starts = np.array(sorted(self._by_start), np.uint32)
        self._pairs = [np.zeros(1 << 16, bool), np.zeros(1 << 16, bool)]
        self._pairs[0][self._starts & 0xFFFF] = True
        self._pairs[1][self._starts >> 16] = True

    def found(self, data: bytes) -> set[str]:
        """Which of the texts stand in `data`; texts of fewer than four bytes are not looked for."""
        seen: set[str] = set()
        whole = np.frombuffer(data, np.uint8)
        for begin in range(0, max(len(whole) - 3, 0), CHUNK):
            part = whole[begin : begin + CHUNK + 3].astype(np.uint16)
            pairs = part[:-1] | part[1:] << 8
            at = np.flatnonzero(self._pairs[0][pairs[:-2]])
            at = at[self._pairs[1][pairs[at + 2]]]
            starts = pairs[at].astype(np.uint32) | pairs[at + 2].astype(np.uint32) << 16
            for place, start in zip(at.tolist(), starts.tolist(), strict=True):
                for needle, text in self._by_start.get(start, ()):
                    if data.startswith(needle, begin + place):
                        seen.add(text)
        return seen
