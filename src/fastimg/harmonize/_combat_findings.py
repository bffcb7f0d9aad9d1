"""What to know of a fit of ComBat before trusting it."""

from __future__ import annotations

from collections.abc import Sequence

from ..findings import Finding
from ._design import Design
from ._model import Model
from ._sums import Statistics

__all__ = ["findings_of"]

_SMALL = 20  # subjects a batch, under which the estimates are weak


def findings_of(
    design: Design, stats: Statistics | None, model: Model | None, *, tied: Sequence[str], skewed: Sequence[str]
) -> list[Finding]:
    """`model` None: of a single batch. `stats` None: the sums are gone. `tied`, `skewed`: names of features."""
    found, count = [], len(design.features)
    if model is None:
        found.append(Finding("combat-skipped", "All subjects are of one batch: nothing was changed."))
    if stats is not None:
        small = {str(label): n for label, n in stats.subjects.items() if 0 < n < _SMALL}
        if small:
            message = f"{len(small)} of {len(design.batches)} batches have fewer than {_SMALL} subjects."
            found.append(Finding("combat-small-batch", message, details={"subjects": small}))
    if tied:
        message = f"{len(tied)} of {count} features have one value in more than a third of the rows."
        found.append(Finding("combat-tied", message, details={"features": list(tied)}))
    if skewed:
        message = (
            f"{len(skewed)} of {count} features are strongly skewed: ComBat may create a site effect; "
            "monotone='signed-log' or 'rank-normal' helps, and effect_of() tells."
        )
        found.append(Finding("combat-skewed", message, details={"features": list(skewed)}))
    if model is not None and model.constant.any():
        names = [name for name, flag in zip(design.features, model.constant, strict=True) if flag]
        message = f"{len(names)} features have no variance and were left as they are."
        found.append(Finding("combat-constant-feature", message, details={"features": names}))
    return found
