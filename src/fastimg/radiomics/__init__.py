"""Radiomic features: definitions of the IBSI reference manual, names of PyRadiomics."""

from ._extract import extract
from ._maps import maps
from ._matrices import cooccurrences, dependences, run_lengths, zones
from ._names import FAMILIES
from ._settings import AGGREGATIONS, Settings

__all__ = [
    "AGGREGATIONS",
    "FAMILIES",
    "Settings",
    "cooccurrences",
    "dependences",
    "extract",
    "maps",
    "run_lengths",
    "zones",
]
