"""effect_of: is the site effect smaller after a harmoniser than before?"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..findings import Finding
from ._site_effect import site_effect

__all__ = ["effect_of", "risen"]

_FIGURES = ("auc_forest", "auc_linear", "ks_share", "variance_explained")
_CHANCE = {"auc_forest": 0.5, "auc_linear": 0.5}


def effect_of(harmonizer: Any, X: Any, batch: Any, **options: Any) -> dict[str, Any]:
    """The site effect before and after a harmoniser, refitted in each fold; warns where one of its figures rises.

    Plain ComBat can raise it: on features of strong skew the shift that makes means equal is wider than the bulk of the
    values, and a tree then tells the batches apart by it.

    Parameters
    ----------
    harmonizer : ComBat
        Not changed.
    X, batch, **options
        As in `site_effect` (`harmonizer_batch` for a NestedComBat).

    Returns
    -------
    dict
        "before" and "after" of `site_effect`, "findings": a `Finding` site-effect-rose where a figure rose.

    Warns
    -----
    UserWarning
        With the finding's words, so that it is seen without looking.
    """
    before = site_effect(X, batch, **options)
    after = site_effect(X, batch, harmonizer=harmonizer, **options)
    found = risen(before, after)
    for finding in found:
        warnings.warn(finding.message, stacklevel=2)
    return {"before": before, "after": after, "findings": found}


def risen(before: dict[str, Any], after: dict[str, Any]) -> list[Finding]:
    """A finding where a figure after is above the one before; an AUC below one half is chance, whatever it was."""
    worse = [n for n in _FIGURES if np.isfinite(after[n]) and after[n] > max(before[n], _CHANCE.get(n, 0.0))]
    if not worse:
        return []
    words = ", ".join(f"{name} {before[name]:.3f} before, {after[name]:.3f} after" for name in worse)
    figures = {name: [before[name], after[name]] for name in worse}
    message = f"The site effect rose: {words}. Try monotone='signed-log' or 'rank-normal', or do not harmonise."
    return [Finding("site-effect-rose", message, details=figures)]
