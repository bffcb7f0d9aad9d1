"""feature_summary: shape of each feature's distribution. quality: cases by state and by finding."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from .. import findings
from ._disclosure import suppress
from ._moments import summed
from ._registry import Done, Parameter, computation, stated
from ._rows import Rows

__all__ = ["feature_summary", "quality"]

_STATES = ("ok", "warned", "quarantined", "failed")


def _summary_combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    if "mean" not in shared:
        n = total["n"]
        mean = np.divide(total["sum"], n, out=np.zeros(len(n)), where=n > 0)
        return {"n": n, "missing": total["missing"], "mean": mean}
    n = np.asarray(shared["n"]).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = total["m1"] / n  # what the first mean was rounded by
        m2 = total["m2"] / n - shift**2
        m3 = total["m3"] / n - 3 * shift * total["m2"] / n + 2 * shift**3
        m4 = total["m4"] / n - 4 * shift * total["m3"] / n + 6 * shift**2 * total["m2"] / n - 3 * shift**4
        value = {
            "features": parameters["features"],
            "n": shared["n"],
            "missing": shared["missing"],
            "mean": np.where(n > 0, shared["mean"] + shift, np.nan),
            "standard_deviation": np.sqrt(m2 * n / (n - 1)),
            "skewness": m3 / m2**1.5,
            "kurtosis": m4 / m2**2 - 3,
        }
    return Done(value)


@computation(
    name="feature_summary",
    version=1,
    parameters={"features": Parameter("names1", high=20_000), "mask": Parameter("name", None)},
    combine=_summary_combine,
    result={
        "features": "array",
        "n": "array",
        "missing": "array",
        "mean": "array",
        "standard_deviation": "array",
        "skewness": "array",
        "kurtosis": "array",
    },
    discloses="number, missing values, mean, standard deviation, skewness and kurtosis of each feature over all nodes",
)
def feature_summary(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """Radiomic features over all rows (a case has a row a mask), in two passes.

    Parameters: features, mask, where. Value: features, n, missing, mean, standard_deviation (n - 1), skewness and excess
    kurtosis (of the population).
    """

    mean = stated(shared["mean"], len(parameters["features"])) if "mean" in shared else None

    def sums(values: Any, there: Any, _: Any) -> dict[str, Any]:
        if mean is None:
            n = there.sum(axis=0, dtype=np.int64)
            return {"n": n, "missing": len(values) - n, "sum": np.where(there, values, 0.0).sum(axis=0)}
        centred = np.where(there, values - mean, 0.0)
        return {f"m{k}": (centred**k).sum(axis=0) for k in (1, 2, 3, 4)}

    return summed(rows, parameters, sums)


def _quality_combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    codes = sorted(findings.CODES)
    return Done(
        {
            "states": dict(zip(_STATES, total["states"].tolist(), strict=True)),
            "findings": {c: int(n) for c, n in zip(codes, total["findings"], strict=True) if n},
            "overflow": total["overflow"].tolist(),
        },
        ["Also cases that are set aside are counted here; states and findings of few patients are in `overflow`."],
    )


@computation(
    name="quality",
    version=1,
    every_state=True,
    combine=_quality_combine,
    result={"states": "object", "findings": "object", "overflow": "array"},
    discloses="numbers of cases by state and by code of finding, summed over all nodes",
    counts=("states", "findings", "overflow"),
)
def quality(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """How many cases are ok, warned, quarantined or failed, and how many have each finding.

    Parameters: where. Value: states {state: cases}, findings {code: cases with it}, overflow [states, findings]: the mass
    of cells of fewer patients than a node's minimum.
    """
    states, listed = rows.column("state"), rows.column("findings")
    codes = {code: k for k, code in enumerate(sorted(findings.CODES))}
    by_state, by_code = np.zeros((rows.n_patients, 4), bool), np.zeros((rows.n_patients, len(codes)), bool)
    n_state, n_code = np.zeros(4, np.int64), np.zeros(len(codes), np.int64)
    for owner, state, text in zip(rows.patients, states, listed, strict=True):
        k = _STATES.index(state)
        n_state[k] += 1
        by_state[owner, k] = True
        for code in {c for c in json.loads(text or "[]") if c in codes}:
            n_code[codes[code]] += 1
            by_code[owner, codes[code]] = True
    shown_state, _, moved_state, _ = suppress(n_state, np.nonzero(by_state), rows.minimum)
    shown_code, _, moved_code, _ = suppress(n_code, np.nonzero(by_code), rows.minimum)
    return {"states": shown_state, "findings": shown_code, "overflow": np.array([moved_state, moved_code], np.int64)}
