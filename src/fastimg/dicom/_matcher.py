"""Many words sought in one pass over a text: the time follows the text's length, not the number of words."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Matcher", "normal"]

# A month's English name, and what may stand on either side of it in a date: "4th of July 1930", "04JUL1930", "Jul 4, 1930".
_MONTH = re.compile(
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|"
    "dec(?:ember)?"
)
_FIRST = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NUMBER = {name: f"{number:02d}" for number, name in enumerate(_FIRST, 1)}
_GAP, _DAY, _YEAR = "[ .,/-]{0,3}", r"(?P<day>\d{1,2})(?:st|nd|rd|th)?", r"(?P<year>\d{4})"
_AROUND = (
    (re.compile(rf"(?<!\d){_DAY}(?: of)?{_GAP}$"), re.compile(rf"{_GAP}{_YEAR}(?!\d)")),
    (re.compile("$"), re.compile(rf"{_GAP}{_DAY}{_GAP}{_YEAR}(?!\d)")),
    (re.compile(rf"(?<!\d){_YEAR}{_GAP}$"), re.compile(rf"{_GAP}{_DAY}(?!\d)")),
)
_REACH = 16  # letters before a month, more than the day and what joins it can have

HEAD = 6  # letters by which a longer word is looked up
LONG = 256  # letters of a text from which NumPy sifts the places before Python looks at them
SIEVE = 1 << 18
PRIME = 0x9E3779B97F4A7C15  # odd, its bits well mixed (2^64 divided by the golden ratio)


def normal(folded: str) -> str:
    """Blanks, underscores and the carets of DICOM names are all one blank."""
    return re.sub(r"[\s_^]+", " ", folded)


class Matcher:
    """Words, each found only where its kind allows.

    Parameters
    ----------
    words : iterable of str
        Already folded and normal. Digits with points are taken as UIDs or dates, plain digits as numbers: neither is found
        within a longer one. ASCII words below six letters are found only between borders of words. All others are found
        anywhere, also inside of words.
    exact : bool
        Find every word anywhere.
    dates : collection of str
        Dates (YYYYMMDD) that are found where the month is written by its English name or its first letters.
    """

    def __init__(self, words: Iterable[str], *, exact: bool = False, dates: Collection[str] = ()) -> None:
        self._exact = exact
        self._dates = frozenset(dates)
        self._short: dict[int, set[str]] = {}
        self._long: dict[str, list[str]] = {}
        for word in sorted({w for w in words if w}, key=lambda w: (-len(w), w)):
            if len(word) < HEAD:
                self._short.setdefault(len(word), set()).add(word)
            else:
                self._long.setdefault(word[:HEAD], []).append(word)

    def __bool__(self) -> bool:
        return bool(self._short or self._long)

    @property
    def words(self) -> list[str]:
        """All words, in no particular order."""
        return [word for group in (*self._short.values(), *self._long.values()) for word in group]

    def count(self, text: str) -> int:
        """How many places of a folded, normal text hold one of the words, which do not overlap, or one of the dates."""
        found = end = 0
        for start, word in self._candidates(text):
            if start >= end and (self._exact or _stands_alone(text, start, word)):
                found += 1
                end = start + len(word)
        return found + sum(1 for _ in self._dated(text))

    def search(self, text: str) -> bool:
        """Whether any word or date is found."""
        if any(self._exact or _stands_alone(text, start, word) for start, word in self._candidates(text)):
            return True
        return any(True for _ in self._dated(text))

    def _dated(self, text: str) -> Iterator[int]:
        """Places of months that make one of the dates with what is around them."""
        for month in _MONTH.finditer(text) if self._dates else ():
            start, end = month.span()
            for before, after in _AROUND:
                left, right = before.search(text[max(start - _REACH, 0) : start]), after.match(text, end)
                if left is None or right is None:
                    continue
                said = left.groupdict() | right.groupdict()
                if f"{said['year']}{_NUMBER[month[0][:3]]}{said['day'].zfill(2)}" in self._dates:
                    yield start
                    break

    def _candidates(self, text: str) -> Iterator[tuple[int, str]]:
        short, long = list(self._short.items()), self._long
        for start in range(len(text)) if len(text) < LONG else self._sifted(text):
            if text[start : start + HEAD] in long:
                for word in long[text[start : start + HEAD]]:
                    if text.startswith(word, start):
                        yield start, word
            for length, words in short:
                if text[start : start + length] in words:
                    yield start, text[start : start + length]

    def _sifted(self, text: str) -> list[int]:
        """Places where a word may begin: those whose first letters have the hash of one."""
        letters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        wanted = np.zeros(len(letters), bool)
        for length, sieve in self._sieves.items():
            if len(letters) >= length:
                wanted[: len(letters) - length + 1] |= sieve[_hashes(letters, length)]
        places: list[int] = np.flatnonzero(wanted).tolist()
        return places

    @cached_property
    def _sieves(self) -> dict[int, npt.NDArray[np.bool_]]:
        """For each length of heads, which hashes occur."""
        heads: dict[int, list[str]] = {length: sorted(words) for length, words in self._short.items()}
        if self._long:
            heads[HEAD] = sorted(self._long)
        sieves = {}
        for length, words in heads.items():
            letters = np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), np.uint32)
            sieves[length] = np.zeros(SIEVE, bool)
            sieves[length][_hashes(letters, length)[::length]] = True
        return sieves


def _hashes(letters: npt.NDArray[np.uint32], length: int) -> npt.NDArray[Any]:
    """A number below SIEVE for each run of `length` letters."""
    count = len(letters) - length + 1
    total = np.zeros(count, np.uint64)
    for step in range(length):
        total *= np.uint64(PRIME)
        total += letters[step : step + count]
    total *= np.uint64(PRIME)
    return total >> np.uint64(64 - SIEVE.bit_length() + 1)


def _stands_alone(text: str, start: int, word: str) -> bool:
    before, after = text[max(start - 2, 0) : start], text[start + len(word) : start + len(word) + 2]
    last, following = before[-1:], after[:1]
    if word.replace(".", "").isdecimal():
        if "." in word:
            return not (last.isdecimal() or last == "." or following.isdecimal() or re.match(r"\.\d", after))
        return not (last.isdecimal() or re.match(r"\d\.", before) or following.isdecimal())
    if len(word) < HEAD and word.isascii():
        return not (last.isalnum() or following.isalnum())
    return True
