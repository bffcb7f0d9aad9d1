"""Greek names in Latin letters, as passports write them: ELOT 743 (ISO 843, type 2)."""

from __future__ import annotations

import re

__all__ = ["latin"]

_LETTERS = str.maketrans({
    "α": "a", "β": "v", "γ": "g", "δ": "d", "ε": "e", "ζ": "z", "η": "i", "θ": "th", "ι": "i", "κ": "k", "λ": "l", "μ": "m",
    "ν": "n", "ξ": "x", "ο": "o", "π": "p", "ρ": "r", "σ": "s", "ς": "s", "τ": "t", "υ": "y", "φ": "f", "χ": "ch", "ψ": "ps",
    "ω": "o",
})  # fmt: skip
_GREEK = re.compile("[α-ω]")
# Upsilon behind a vowel: "v" before vowels and voiced consonants, "f" before the others and at the end of a word.
_RULES = (
    (re.compile("ου"), "ou"),
    (re.compile("(?<=[αεη])υ(?=[αεηιουωβγδζλμνρ])"), "v"),
    (re.compile("(?<=[αεη])υ"), "f"),
    (re.compile("γγ"), "ng"),
    (re.compile("γ(?=[ξχ])"), "n"),
    (re.compile(r"(?<![^\W_])μπ|μπ(?![^\W_])"), "b"),
)


def latin(folded: str) -> str:
    """A folded text with its Greek letters in Latin ones; as it is where it has none."""
    if not _GREEK.search(folded):
        return folded
    for pattern, letters in _RULES:
        folded = pattern.sub(letters, folded)
    return folded.translate(_LETTERS)
