"""moments: mean and variance (and covariance) of features, in two passes so that nothing cancels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ._frame import added
from ._registry import Done, Parameter, computation, stated
from ._rows import Rows

__all__ = ["moments", "summed"]

Array = npt.NDArray[np.float64]
Sums = Callable[[Array, npt.NDArray[np.bool_], npt.NDArray[np.int64]], dict[str, Any]]


def summed(rows: Rows, parameters: dict[str, Any], sums: Sums, *, complete: bool = False) -> dict[str, Any]:
    """Sums of features block by block, and `Rows.contribute` for features whose missing values differ.

    sums(values, there, owners) -> {name: array} of a block: (rows, features), which of them count, and their patients.
    complete: rows that lack a feature count for none. Kept of all rows: a bit a number.
    """
    bits = []

    def parts() -> Iterator[dict[str, Any]]:
        for values, places in rows.blocks(parameters["features"], parameters["mask"]):
            there: Any = np.isfinite(values)
            if complete:
                there &= there.all(axis=1)[:, None]
            bits.append((len(there), np.ascontiguousarray(np.packbits(there, axis=0).T)))
            yield sums(values, there, rows.patients[places])

    total = added(parts())
    alike: dict[bytes, list[str]] = {}  # features with the same rows
    for k, name in enumerate(parameters["features"]):
        alike.setdefault(b"".join(part[k].tobytes() for _, part in bits), []).append(f"feature {name}")
    for packed, names in alike.items():
        keep, at = [np.zeros(0, np.uint8)], 0
        for count, part in bits:
            keep.append(np.unpackbits(np.frombuffer(packed, np.uint8, part.shape[1], at), count=count))
            at += part.shape[1]
        rows.contribute(names, np.concatenate(keep), mask=parameters["mask"])
    return total


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
    result={
        "features": "array",
        "n": "array",
        "mean": "array",
        "variance": "array",
        "covariance": "array?",
        "pairs": "array?",
    },
    discloses="number, mean and variance (on request covariance) of each feature over all nodes",
)
def moments(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """Mean and unbiased variance of features over all rows (a case has a row a mask); missing values are left out.

    Parameters: features, mask, covariance (over rows in which every feature is there), where. Value: features, n, mean,
    variance; with covariance also covariance and pairs.
    """
    covariance, k = parameters["covariance"], len(parameters["features"])
    if covariance:
        rows.reserve(8 * k**2)

    mean = stated(shared["mean"], k) if "mean" in shared else None

    def sums(values: Array, there: npt.NDArray[np.bool_], _: Any) -> dict[str, Any]:
        if mean is None:
            return {"n": there.sum(axis=0, dtype=np.int64), "sum": np.where(there, values, 0.0).sum(axis=0)}
        centred = np.where(there, values - mean, 0.0)
        rest = centred.sum(axis=0)
        if not covariance:
            return {"rest": rest, "squares": (centred * centred).sum(axis=0)}
        pairs = np.full((k, k), there[:, 0].sum(), np.int64)
        return {"rest": rest, "squares": centred.T @ centred, "pairs": pairs}

    return summed(rows, parameters, sums, complete=covariance)
