"""Radiomic features: definitions of the IBSI reference manual, names of PyRadiomics."""

from ._diagnostics import diagnostics
from ._extract import extract
from ._maps import maps
from ._matrices import cooccurrences, dependences, run_lengths, zone_tallies, zones
from ._names import FAMILIES
from ._perturb import add_noise, grow, icc, move, noise_level, perturbations, randomise_contour, robustness
from ._settings import AGGREGATIONS, Settings

__all__ = [
    "AGGREGATIONS",
    "FAMILIES",
    "Settings",
    "add_noise",
    "cooccurrences",
    "dependences",
    "diagnostics",
    "extract",
    "maps",
    "grow",
    "icc",
    "move",
    "noise_level",
    "perturbations",
    "randomise_contour",
    "robustness",
    "run_lengths",
    "zone_tallies",
    "zones",
]
