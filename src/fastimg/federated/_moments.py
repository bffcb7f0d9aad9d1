"""moments: mean and variance (and covariance) of features, in two passes so that nothing cancels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._registry import Done, Parameter, computation
from ._rows import Rows

__all__ = ["contribute_each", "moments"]


def contribute_each(rows: Rows, parameters: dict[str, Any], there: Any) -> None:
    """`Rows.contribute` for features whose missing values differ: there is (rows, features)."""
    alike: dict[bytes, list[int]] = {}  # columns with the same rows
    for k, bits in enumerate(np.packbits(there, axis=0).T):
        alike.setdefault(bits.tobytes(), []).append(k)
    for columns in alike.values():
        names = [f"feature {parameters['features'][k]}" for k in columns]
        rows.contribute(names, there[:, columns[0]], mask=parameters["mask"])


def _combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    if "mean" not in shared:
        n = total["n"]
        mean = np.divide(total["sum"], n, out=np.zeros(len(n)), where=n > 0)
        return {"mean": mean, "n": n}
    n, mean = shared["n"], shared["mean"]
    # mean + remainder / n: the first mean was rounded, and the second pass says by how much
    correction = np.divide(total["rest"], n, out=np.zeros(len(n)), where=n > 0)
    spread = total["squares"]
    if parameters["covariance"]:
        pairs = total["pairs"]
        spread = spread - np.outer(total["rest"], total["rest"]) / np.maximum(pairs, 1)
        value = {"covariance": np.where(pairs > 1, spread / np.maximum(pairs - 1, 1), np.nan), "pairs": pairs}
        value["variance"] = np.diag(value["covariance"]).copy()
    else:
        spread = spread - total["rest"] * correction
        value = {"variance": np.where(n > 1, spread / np.maximum(n - 1, 1), np.nan)}
    return Done({"features": parameters["features"], "n": n, "mean": mean + correction, **value})


@computation(
    name="moments",
    version=1,
    parameters={
        "features": Parameter("names1", high=20_000),
        "mask": Parameter("name", None),
        "covariance": Parameter("bool", False),
    },
    combine=_combine,
    discloses="number, mean and variance (on request covariance) of each feature over all nodes",
)
def moments(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """Mean and unbiased variance of features over all rows (a case has a row a mask); missing values are left out.

    Parameters: features, mask, covariance (over rows in which every feature is there), where. Value: features, n, mean,
    variance; with covariance also covariance and pairs.
    """
    values, _ = rows.features(parameters["features"], parameters["mask"])
    there = np.isfinite(values)
    if parameters["covariance"]:
        there &= there.all(axis=1)[:, None]
        rows.reserve(8 * values.shape[1] ** 2)
    contribute_each(rows, parameters, there)
    if "mean" not in shared:
        return {"n": there.sum(axis=0, dtype=np.int64), "sum": np.where(there, values, 0.0).sum(axis=0)}
    centred = np.where(there, values - shared["mean"], 0.0)
    answer = {"rest": centred.sum(axis=0)}
    if parameters["covariance"]:
        k = values.shape[1]
        return {**answer, "squares": centred.T @ centred, "pairs": np.full((k, k), there[:, 0].sum(), np.int64)}
    return {**answer, "squares": (centred * centred).sum(axis=0)}
