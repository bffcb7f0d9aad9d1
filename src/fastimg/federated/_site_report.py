"""site_effect: what features tell about the batch they come from, from sums alone. Rounds:

    labels, means, products, spread   as combat's: what is left is x without the covariates' linear effect inside batches
    shape       a batch: rows in bins that are equally likely under a normal distribution of the pooled mean and variance
    cross       with auc: a fold and batch: rows and sums; a fold: products of all pairs of features
    scores      with auc: of rows that a fold's discriminants have not seen: number, sum and squares, own batch and others

harmonize.site_effect measures the same on pooled rows, with a logistic regression and a forest, which need the rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import kolmogorov, ndtr, ndtri

from ..errors import RefusedError
from ..harmonize import Design
from ._batches import (
    ADJUSTED,
    Batches,
    agree,
    by_batch,
    design_of,
    labels,
    left,
    mean_state,
    notes,
    permit,
    products,
    residuals,
    slopes,
    take,
    totals,
)
from ._disclosure import Cells
from ._frame import added
from ._registry import Done, Parameter, computation, stated
from ._rows import Rows

__all__ = ["site_effect"]

Array = npt.NDArray[np.float64]
Blocks = Iterator[tuple[Array, slice]]
_RIDGE = 1e-3  # of the mean variance, added to the covariance of the discriminants


def _combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    if isinstance(total, list):
        state = agree(total, parameters)
        if len(Design.from_dict(state["design"]).batches) < 2:
            raise RefusedError("rule min_cases: fewer than two batches have enough patients")
        return state
    if "n" not in shared:
        return mean_state(total, shared)
    design = Design.from_dict(shared["design"])
    if "beta" not in shared:
        products = {name: total[name] for name in ("cc", "cy", "yy")}
        return {**shared, "beta": slopes(design, shared | products)}
    if "sd" not in shared:
        return _spread(total, shared)
    if "ks" not in shared:
        state = {**shared, **_distances(total, shared, parameters)}
        return state if parameters["auc"] else _done(design, state, parameters)
    if "weights" not in shared:
        return {**shared, "weights": _discriminants(total), "without": int(total["left"][0])}
    return _done(design, {**shared, "auc": _areas(total)}, parameters)


def _levels(shared: dict[str, Any]) -> Array:
    """(batches, features): means without the covariates' effect, about their mean over all rows."""
    n = np.asarray(shared["n"], np.float64)
    about = (n[:, None] * shared["c"]).sum(0) / n.sum()
    return np.asarray(shared["y"] - (shared["c"] - about) @ shared["beta"])


def _spread(total: Any, shared: dict[str, Any]) -> dict[str, Any]:
    n = np.asarray(shared["n"], np.float64)[:, None]
    level = _levels(shared)
    grand = (n * level).sum(0) / n.sum()
    inside = np.maximum(total["rr"] - total["r"] ** 2 / np.maximum(n, 1), 0.0).sum(0)
    between = (n * (level - grand) ** 2).sum(0)
    whole = inside + between
    eta = np.where(whole > 0, between / np.where(whole > 0, whole, 1.0), 0.0)
    sd = np.sqrt(whole / n.sum())
    return {**shared, "level": level, "grand": grand, "sd": np.where(sd > 0, sd, 1.0), "eta": eta}


def _distances(total: Any, shared: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Kolmogorov-Smirnov distances of each batch to all others at the borders of the bins."""
    counts = total["shape"].astype(np.float64)  # (batches, features, bins)
    hidden = total["hidden"].astype(np.float64)  # (batches, features): rows in bins of few patients
    n = np.asarray(shared["n"], np.float64)[:, None]
    rest, batches = n.sum() - n, len(n)
    own = counts.cumsum(-1)
    others = own.sum(0) - own
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.abs(own / n[..., None] - others / rest[..., None]).max(-1)
        # rows that are not shown may lie anywhere: by so much the distance may be smaller
        slack = hidden / n + (hidden.sum(0) - hidden) / rest
        p = kolmogorov(np.maximum(gap - slack, 0.0) * np.sqrt(n * rest / n.sum()))
    there = (n > 0) & (rest > 0)
    gap, p = np.where(there, gap, 0.0), np.where(there, p, 1.0)
    return {"ks": gap.max(0), "ks_p": np.minimum(p.min(0) * batches, 1.0), "hidden": int(hidden.sum())}


def _discriminants(total: Any) -> Array:
    """(folds, batches, features): Fisher's direction of a batch against the rest, of the rows outside the fold."""
    n, sums, products = total["fn"].astype(np.float64), total["fs"], total["fp"]
    n, sums, products = n.sum(0) - n, sums.sum(0) - sums, products.sum(0) - products
    folds, batches, features = sums.shape
    weights = np.zeros_like(sums)
    for f in range(folds):
        everybody = sums[f].sum(0)
        for k in range(batches):
            own, rest = n[f, k], n[f].sum() - n[f, k]
            if own < 2 or rest < 2:
                continue
            mean, other = sums[f, k] / own, (everybody - sums[f, k]) / rest
            inside = products[f] - own * np.outer(mean, mean) - rest * np.outer(other, other)
            inside = inside / (own + rest)
            inside[np.diag_indices(features)] += _RIDGE * max(np.trace(inside) / features, 1e-300)
            weights[f, k] = np.linalg.solve(inside, mean - other)
    return weights


def _areas(total: Any) -> Array:
    """(batches,): area under the ROC curve of two normal distributions of the scores, mean over folds; NaN for none."""
    n, s, ss = (total[name].astype(np.float64) for name in ("sn", "s", "ss"))  # (folds, batches, own or others)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, variance = s / n, np.maximum(ss / n - (s / n) ** 2, 0.0)
        area = ndtr((mean[..., 0] - mean[..., 1]) / np.sqrt(variance.sum(-1)))
        good = (n > 1).all(-1) & np.isfinite(area)
        return np.asarray(np.where(good, area, 0.0).sum(0) / np.where(good.any(0), good.sum(0), np.nan))


def _done(design: Design, state: dict[str, Any], parameters: dict[str, Any]) -> Done:
    n = np.asarray(state["n"])
    present = int((n > 0).sum())
    value = {
        "features": parameters["features"],
        "batches": {str(label): int(count) for label, count in zip(design.batches, n, strict=True)},
        "subjects": int(n.sum()),
        "variance_explained": float(state["eta"].mean()),
        "variance_chance": (present - 1) / max(1, int(n.sum()) - 1),
        "ks_share": float((state["ks_p"] < 0.05).mean()),
        "by_feature": {"variance_explained": state["eta"], "ks_binned": state["ks"], "ks_p": state["ks_p"]},
        "rows_not_shown": state["hidden"],
    }
    says = notes(design, state)
    says.append(
        f"Kolmogorov-Smirnov distances are those at the borders of {parameters['bins']} bins, never above the exact ones but "
        "for rows that were not shown; p values count such rows as if they spoke for no difference."
    )
    if parameters["auc"]:
        areas = dict(zip(map(str, design.batches), state["auc"].tolist(), strict=True))
        found = [area for area in areas.values() if np.isfinite(area)]
        value |= {"auc_linear_binormal": float(np.mean(found)) if found else float("nan"), "auc_by_batch": areas}
        value["rows_without_auc"] = state["without"]
        says.append(
            "The AUC is that of Fisher's discriminants on rows that they have not seen, from means and variances of scores as "
            "if these were normal."
        )
    return Done(value, says)


@computation(
    name="site_effect",
    version=1,
    parameters={
        **ADJUSTED,
        "bins": Parameter("int", 16, low=2, high=4096),
        "auc": Parameter("bool", False),
        "folds": Parameter("int", 3, low=2, high=10),
    },
    combine=_combine,
    result={
        "features": "array",
        "batches": "object",
        "subjects": "integer",
        "variance_explained": "number",
        "variance_chance": "number",
        "ks_share": "number",
        "by_feature": "object",
        "rows_not_shown": "integer",
        "auc_linear_binormal": "number?",
        "auc_by_batch": "object?",
        "rows_without_auc": "integer?",
    },
    discloses=(
        "for each batch the number of rows, the location, scale and binned distribution of each feature and the means of the "
        "covariates' columns; with auc also the covariance of all features and means and variances of discriminant scores"
    ),
)
def site_effect(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """How much of the batch (site, scanner) is left in features: fit ComBat, harmonise at home, and ask again.

    Parameters: features, batch, covariates, interactions, smooth, mask as for combat (the covariates' linear effect inside
    batches is removed first); bins; auc (also how well linear discriminants recognise the batch; a policy may refuse it for
    more features than a third of the patients), folds, where. Value: features, batches {label: rows}, subjects,
    variance_explained (mean over features of eta squared), variance_chance, ks_share (features that differ between any
    batch and all others at 0.05 after Bonferroni over batches), by_feature {variance_explained, ks_binned, ks_p},
    rows_not_shown (in bins of few patients); with auc auc_linear_binormal (0.5 is chance), auc_by_batch,
    rows_without_auc (of batches too small at their node for the folds).
    """
    if "design" not in shared:
        return labels(rows, parameters)
    design = design_of(parameters, shared)
    data = take(rows, design, parameters)
    permit(rows, design, data, parameters, shared)
    if "n" not in shared:
        return totals(data)
    if "beta" not in shared:
        return products(data, shared["y"], shared["c"])
    if "sd" not in shared:
        return residuals(data, shared["y"], shared["c"], shared["beta"])
    p, folds = len(parameters["features"]), parameters["folds"]
    z = _standardised(data, shared, p)
    if "ks" not in shared:
        return _shape(rows, data, z, p, parameters["bins"])
    rows.policy.check("parameters", (p + 1, len(np.unique(data.owners))))
    fold = _folds(rows, data, folds)
    if "weights" not in shared:
        rows.reserve(8 * folds * p**2)
        return _cross(z, data, fold, folds)
    return _scores(z, data, fold, stated(shared["weights"], folds, data.count, p))


def _standardised(data: Batches, shared: dict[str, Any], p: int) -> Blocks:
    """(rows without the covariates' effect in units of the common scale, which they are), block by block."""
    offset = stated(shared["level"], data.count, p) - stated(shared["grand"], p)
    for x, own in left(data, shared["y"], shared["c"], shared["beta"]):
        yield (x + offset[data.codes[own]]) / stated(shared["sd"], p), own


def _shape(rows: Rows, data: Batches, z: Blocks, p: int, bins: int) -> dict[str, Any]:
    cells = data.count * p * bins
    rows.policy.check("values", cells)
    rows.reserve(8 * cells * (2 + min(rows.minimum, rows.n_patients)))
    borders, found = ndtri(np.arange(1, bins) / bins), Cells(cells, rows.minimum, rows.n_patients)
    for x, own in z:
        cell = (data.codes[own][:, None] * p + np.arange(p)) * bins + np.searchsorted(borders, x, side="left")
        starts = np.flatnonzero(np.diff(data.owners[own], prepend=-1))  # a patient's rows follow one another
        for at, part in zip(starts, np.split(cell, starts[1:]), strict=True):
            found.fall(int(data.owners[own][at]), part.ravel())
    parts = [found.suppressed(slice(at, at + bins)) for at in range(0, cells, bins)]
    shown = np.array([part[0] for part in parts], np.int64).reshape(data.count, p, bins)
    return {"shape": shown, "hidden": np.array([part[1] for part in parts], np.int64).reshape(data.count, p)}


def _folds(rows: Rows, data: Batches, folds: int) -> npt.NDArray[np.int64]:
    """A fold a row, all of a patient in one; -1 for batches of which a fold would have few patients here."""
    order = sorted(range(rows.n_patients), key=lambda i: hashlib.sha256(str(rows.patient_names[i]).encode()).digest())
    of_patient = np.empty(rows.n_patients, np.int64)
    present = set(data.owners.tolist())
    of_patient[[i for i in order if i in present]] = np.arange(len(present)) % folds
    fold = of_patient[data.owners]
    for k in range(data.count):
        own = data.codes == k
        if own.any() and min(len(np.unique(data.owners[own & (fold == f)])) for f in range(folds)) < rows.minimum:
            fold[own] = -1
    return fold


def _cross(z: Blocks, data: Batches, fold: npt.NDArray[np.int64], folds: int) -> dict[str, Any]:
    def parts() -> Iterator[dict[str, Any]]:
        for x, own in z:
            place = [fold[own] == f for f in range(folds)]
            codes = data.codes[own]
            yield {
                "fn": np.array([np.bincount(codes[there], minlength=data.count) for there in place], np.int64),
                "fs": np.array([by_batch(x[there], codes[there], data.count) for there in place]),
                "fp": np.array([x[there].T @ x[there] for there in place]),
            }

    return {**added(parts()), "left": np.array([(fold < 0).sum()], np.int64)}


def _scores(z: Blocks, data: Batches, fold: npt.NDArray[np.int64], weights: Array) -> dict[str, Any]:
    number, sums, squares = (np.zeros((len(weights), data.count, 2)) for _ in range(3))
    for x, own in z:
        for f in range(len(weights)):
            there = fold[own] == f
            score, codes = x[there] @ weights[f].T, data.codes[own][there]
            for b in range(data.count):
                for side, members in enumerate((codes == b, codes != b)):
                    number[f, b, side] += members.sum()
                    sums[f, b, side] += score[members, b].sum()
                    squares[f, b, side] += (score[members, b] ** 2).sum()
    return {"sn": number.astype(np.int64), "s": sums, "ss": squares}
