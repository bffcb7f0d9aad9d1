"""What the estimates of a ComBat do to values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import NotFittedError

from .. import _dispatch
from .._arrays import all_finite, thread_count
from ..errors import ArgumentError
from ._model import Model
from ._monotone import Scale

__all__ = ["UnfittedError", "apply", "refuse_values"]


class UnfittedError(ArgumentError, NotFittedError):
    """What scikit-learn expects of an estimator that is used before it was fitted."""


def apply(
    model: Model,
    x: Any,
    target: Any,
    codes: npt.NDArray[np.int32],
    columns: npt.NDArray[np.float64],
    *,
    scale: Scale,
    reference: Any,
    threads: int | None,
) -> Any:
    """target = x without the shift and the scale of its batches (`codes`); `columns`: covariates, used up."""
    design = model.design
    unknown = sorted({str(design.batches[k]) for k in np.unique(codes) if not model.known[k]})
    if unknown:
        raise ArgumentError(f"batch: {', '.join(unknown)} had no subject in the fit")
    if columns.size and (columns[:, ~model.levels] != 0).any():
        raise ArgumentError("covariates: a level had no subject in the fit")
    if reference is not None:
        codes = np.where(codes == design.batches.index(reference), -1, codes).astype(np.int32)
    columns -= model.covariate_center
    gamma = model.gamma_star * np.sqrt(model.var)
    gamma[:, model.constant] = 0.0
    alpha = 1 / np.sqrt(model.delta_star)
    where = _dispatch.device(x)
    parts = (codes, np.ascontiguousarray(columns), model.mean, model.beta, gamma, alpha)
    on_device = [_dispatch.move(np.ascontiguousarray(part), where) for part in parts]
    leaf = _dispatch.pick(x, leaf="harmonize")
    leaf.combat_apply(scale.forward(x), target, *on_device, threads=thread_count(threads))
    if scale.name is not None:
        target[...] = scale.backward(target)
        if reference is not None:  # the reference batch stays to the last bit
            own = _dispatch.move(codes < 0, where)
            target[own] = x[own]
    return target


def refuse_values(x: Any, missing: str) -> None:
    """Infinities always, NaN unless it is to be skipped."""
    if all_finite(x):
        return
    xp = _dispatch.namespace(x)
    bad = xp.isinf(x) if missing == "skip" else ~xp.isfinite(x)
    if bool(bad.any()):
        raise ArgumentError("X: has NaN or infinite values; impute them, or pass missing='skip' for NaN")
