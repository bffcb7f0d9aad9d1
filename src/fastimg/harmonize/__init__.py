"""Making images and features of different scanners comparable.

ComBat, site_effect and KernelMatch are loaded at first use, and what they need with them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._clahe import clahe
from ._intensity import minmax, percentile, robust_zscore, zscore
from ._lsq import LSQ
from ._match import match_histogram
from ._n4 import n4
from ._nyul import Nyul
from ._tissue import FCM, KDE
from ._whitestripe import WhiteStripe
from ._window import window

if TYPE_CHECKING:
    from ._combat import ComBat
    from ._covbat import CovBat
    from ._design import Design
    from ._effect_of import effect_of, risen
    from ._formula import Formula
    from ._kernel_match import KernelMatch, unsharp
    from ._longitudinal import LongitudinalComBat
    from ._nested import NestedComBat
    from ._site_effect import agreement, site_effect
    from ._spline import Spline
    from ._sums import Statistics

# public name -> the module that is loaded at its first use
_LATER = {
    "KernelMatch": "_kernel_match",
    "unsharp": "_kernel_match",
    "ComBat": "_combat",
    "CovBat": "_covbat",
    "Design": "_design",
    "Formula": "_formula",
    "LongitudinalComBat": "_longitudinal",
    "NestedComBat": "_nested",
    "Spline": "_spline",
    "Statistics": "_sums",
    "effect_of": "_effect_of",
    "agreement": "_site_effect",
    "risen": "_effect_of",
    "site_effect": "_site_effect",
}

__all__ = [
    "FCM",
    "KDE",
    "LSQ",
    "ComBat",
    "CovBat",
    "Design",
    "Formula",
    "LongitudinalComBat",
    "NestedComBat",
    "KernelMatch",
    "Nyul",
    "Spline",
    "Statistics",
    "WhiteStripe",
    "agreement",
    "effect_of",
    "clahe",
    "match_histogram",
    "minmax",
    "n4",
    "percentile",
    "risen",
    "robust_zscore",
    "site_effect",
    "unsharp",
    "window",
    "zscore",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'fastimg.harmonize' has no attribute {name!r}")
    value = getattr(import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
