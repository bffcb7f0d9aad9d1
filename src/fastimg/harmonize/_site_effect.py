"""How much of the batch (site, scanner) is left in features: measures that show whether a harmonisation worked."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import kolmogorov
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from ..errors import ArgumentError
from ._design import Design, columns_of, labels
from ._sums import matrix

__all__ = ["agreement", "site_effect"]

Array = npt.NDArray[np.float64]


def site_effect(
    X: Any,
    batch: Any,
    *,
    covariates: Any = None,
    groups: Any = None,
    harmonizer: Any = None,
    harmonizer_batch: Any = None,
    folds: int = 5,
    trees: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure what features tell about the batch they come from.

    Parameters
    ----------
    X : array or table, subjects x features
        Finite numbers.
    batch : sequence
        A label a subject. Batches of fewer than 2 subjects are left out (and counted in the result).
    covariates : table, mapping or array, optional
        What legitimately differs between batches (age, sex ...): their linear effect inside batches is removed first.
    groups : sequence, optional
        Rows of one group (a patient) never stand on both sides of a fold.
    harmonizer : ComBat, optional
        Is fitted anew to the training part of each fold and applied to both; the measures are then of the test parts.
        Measuring data harmonised as a whole instead would flatter the harmoniser.
    harmonizer_batch : table, mapping or sequence, optional
        What the harmoniser gets as its batch, a row a subject, where that is not `batch`: the columns of a NestedComBat.
    folds : int
        Of the cross-validation; fewer where the smallest batch has fewer subjects.
    trees : int
        Of the forest.
    seed : int
        Same seed, same numbers.

    Returns
    -------
    dict
        - "ks_share": share of features that differ between any batch and all others by the Kolmogorov-Smirnov test at
          0.05 after Bonferroni over batches (asymptotic p values). 0.05 or less is chance.
        - "auc_linear", "auc_forest": area under the ROC curve with which a logistic regression (standardised features)
          and a random forest recognise the batch in unseen subjects, one against the rest, macro average over batches
          and folds. 0.5 is chance; NaN where no two folds can be made.
        - "variance_explained": mean over features of eta squared, the between-batch share of the sum of squares;
          about (batches - 1) / (subjects - 1) is chance, given as "variance_chance".
        - "by_feature": {"ks_p": array, "variance_explained": array}.
        - "subjects", "batches", "features", "folds", "left_out".

    Raises
    ------
    ArgumentError
        Fewer than two batches, values that are not finite, labels missing.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> rng = np.random.default_rng(0)
    >>> batch = np.repeat(["A", "B"], 50)
    >>> X = rng.normal(size=(100, 3)) + (batch == "B")[:, None]
    >>> bool(fi.harmonize.site_effect(X, batch, trees=20)["auc_linear"] > 0.8)
    True
    """
    x = np.asarray(matrix(X), np.float64)
    rows = labels(batch, "batch", x.shape[0])
    if not np.isfinite(x).all():
        raise ArgumentError("X: has NaN or infinite values; impute them first")
    if folds < 2:
        raise ArgumentError(f"folds: must be at least 2, got {folds!r}")
    vectors = columns_of(covariates, x.shape[0])
    design = Design.of([f"f{i}" for i in range(x.shape[1])], rows, vectors)
    codes, columns = design.encode(rows, vectors, x.shape[0])
    counts = np.bincount(codes)
    keep = counts[codes] >= 2
    x, columns = x[keep], columns[keep]
    labelled = np.array(rows, object)[keep]
    vectors = {name: vector[keep] for name, vector in vectors.items()}
    own = _own_batch(harmonizer_batch, labelled, keep)
    present, codes = np.unique(codes[keep], return_inverse=True)  # type: ignore[assignment]
    if len(present) < 2:
        raise ArgumentError("batch: at least two batches of two or more subjects are needed")
    if groups is not None:
        groups = np.unique(np.array(labels(groups, "groups", len(rows)), str), return_inverse=True)[1][keep]
    splits = _splits(codes, groups, folds, seed)
    measured, held = _residuals(x, codes, columns), np.arange(len(codes))
    parts = [(train, test, measured[train], measured[test]) for train, test in splits]
    if harmonizer is not None:
        if not splits:
            raise ArgumentError("harmonizer: the batches are too small for cross-validation")
        parts = [
            (train, test, *_harmonized(harmonizer, x, own, codes, columns, vectors, train, test))
            for train, test in splits
        ]
        held = np.concatenate([test for _, test, _, _ in parts])
        measured = np.concatenate([seen for _, _, _, seen in parts])
    ks = ks_p_values(measured, codes[held])
    eta = variance_explained(measured, codes[held])
    linear = LogisticRegression(max_iter=1000)
    forest = RandomForestClassifier(n_estimators=trees, random_state=seed, min_samples_leaf=2)
    return {
        "ks_share": float((ks < 0.05).mean()) if ks.size else 0.0,
        "auc_linear": _auc(linear, parts, codes),
        "auc_forest": _auc(forest, parts, codes),
        "variance_explained": float(eta.mean()) if eta.size else 0.0,
        "variance_chance": (len(present) - 1) / max(1, len(codes) - 1),
        "by_feature": {"ks_p": ks, "variance_explained": eta},
        "subjects": len(codes),
        "batches": len(present),
        "features": x.shape[1],
        "folds": len(splits),
        "left_out": int((~keep).sum()),
    }


def _own_batch(given: Any, labelled: Any, keep: Any) -> dict[str | None, Any]:
    """What the harmoniser gets: columns by name, or the one without a name."""
    if given is None:
        return {None: labelled}
    if not isinstance(given, Mapping) and not hasattr(given, "columns") and not hasattr(given, "column_names"):
        return {None: np.array(labels(given, "harmonizer_batch", len(keep)), object)[keep]}
    columns = columns_of(given, len(keep))
    return {name: np.array(labels(column, name, len(keep)), object)[keep] for name, column in columns.items()}


def _splits(codes: Any, groups: Any, folds: int, seed: int) -> list[tuple[Any, Any]]:
    count = min(folds, int(np.bincount(codes).min()))
    if groups is not None:
        count = min(count, *(len(np.unique(groups[codes == k])) for k in range(codes.max() + 1)))
    if count < 2:
        return []
    if groups is None:
        return list(StratifiedKFold(count, shuffle=True, random_state=seed).split(codes, codes))
    return list(StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(codes, codes, groups))


def _residuals(x: Array, codes: Any, columns: Array) -> Array:
    """x without the linear effect of the covariates, as it is inside the batches; batch means stay."""
    if not columns.shape[1]:
        return x
    inside, outcome = columns.copy(), x.copy()
    for k in range(codes.max() + 1):
        own = codes == k
        inside[own] -= inside[own].mean(0)
        outcome[own] -= outcome[own].mean(0)
    beta = np.linalg.lstsq(inside, outcome, rcond=1e-10)[0]
    return np.asarray(x - (columns - columns.mean(0)) @ beta)


def _harmonized(
    harmonizer: Any, x: Array, batch: Any, codes: Any, columns: Array, vectors: dict[str, Any], train: Any, test: Any
) -> tuple[Array, Array]:
    def rows(index: Any) -> dict[str, Any]:
        covariates = {name: vector[index] for name, vector in vectors.items()}
        labelled = {name: column[index].tolist() for name, column in batch.items()}
        return {"batch": labelled.get(None, labelled), "covariates": covariates or None}

    fitted = clone(harmonizer).fit(x[train], **rows(train))
    both = np.concatenate([fitted.transform(x[part], **rows(part)) for part in (train, test)])
    order = np.concatenate([train, test])
    both = _residuals(both, codes[order], columns[order])
    return both[: len(train)], both[len(train) :]


def _auc(classifier: Any, parts: Sequence[tuple[Any, Any, Array, Array]], codes: Any) -> float:
    found = []
    for train, test, *both in parts:
        seen, unseen = _standardised(*both)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the AUC hardly changes in the last steps
            model = clone(classifier).fit(seen, codes[train])
        score = model.predict_proba(unseen)
        for column, k in enumerate(model.classes_):
            truth = codes[test] == k
            if truth.any() and not truth.all():
                found.append(roc_auc_score(truth, score[:, column]))
    return float(np.mean(found)) if found else float("nan")


def _standardised(seen: Array, unseen: Array) -> tuple[Array, Array]:
    """Both by the first one's mean and sd. Beyond 10,000 sd values are cut, since the classifiers work in float32."""
    largest = np.abs(seen).max(0, initial=0.0)
    largest = np.where(largest > 0, largest, 1.0)
    mean, spread = (seen / largest).mean(0), (seen / largest).std(0)
    spread = np.where(spread > 0, spread, 1.0)
    one, two = (np.clip((x / largest - mean) / spread, -1e4, 1e4) for x in (seen, unseen))
    return one, two


def ks_p_values(x: Array, codes: Any) -> Array:
    """The least p value of each feature: a batch against all others, two-sided, asymptotic, times the batches."""
    count, batches = len(codes), int(codes.max()) + 1
    least = np.ones(x.shape[1])
    for feature in range(x.shape[1]):
        order = np.argsort(x[:, feature], kind="stable")
        value, batch = x[order, feature], codes[order]
        last = np.append(value[1:] != value[:-1], True)  # where a run of ties ends
        for k in range(batches):
            own = np.cumsum(batch == k)
            n = int(own[-1])
            rest = np.arange(1, count + 1) - own
            if n == 0 or n == count:
                continue
            gap = np.abs(own / n - rest / (count - n))[last].max()
            p = kolmogorov(gap * np.sqrt(n * (count - n) / count))
            least[feature] = min(least[feature], p * batches)
    return np.minimum(least, 1.0)


def variance_explained(x: Array, codes: Any) -> Array:
    """Eta squared of each feature: sum of squares between batches over the total; 0 for a constant feature."""
    counts = np.bincount(codes)
    centred = x - x.mean(0)
    total = np.square(centred).sum(0)
    means = np.stack([np.bincount(codes, column) for column in centred.T], 1) / np.maximum(counts, 1)[:, None]
    between = (counts[:, None] * np.square(means)).sum(0)
    return np.where(total > 0, between / np.where(total > 0, total, 1), 0.0)


def agreement(x: Any, y: Any) -> dict[str, Array]:
    """Agreement of two measurements of the same subjects (test and retest, or before and after), a value a feature.

    Parameters
    ----------
    x, y : array_like, subjects x features

    Returns
    -------
    dict
        "ccc": Lin's concordance correlation, 2 s_xy / (s_x^2 + s_y^2 + (mean_x - mean_y)^2), Biometrics 45:255 (1989);
        "icc": ICC(2, 1), two-way random effects, absolute agreement, Shrout & Fleiss, Psychol. Bull. 86:420 (1979).
        NaN where both are constant.

    Raises
    ------
    ArgumentError
        Two shapes, fewer than 2 subjects, or values that are not finite.
    """
    a, b = np.asarray(matrix(x), np.float64), np.asarray(matrix(y), np.float64)
    if a.shape != b.shape or len(a) < 2:
        raise ArgumentError(
            f"agreement: expected two arrays of one shape with 2 or more subjects, got {a.shape}, {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ArgumentError("agreement: values must be finite")
    n = len(a)
    covariance = ((a - a.mean(0)) * (b - b.mean(0))).mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ccc = 2 * covariance / (a.var(0) + b.var(0) + np.square(a.mean(0) - b.mean(0)))
        pair, grand = np.stack([a, b]), (a.mean(0) + b.mean(0)) / 2
        between = 2 * np.square(pair.mean(0) - grand).sum(0) / (n - 1)
        raters = n * np.square(pair.mean(1) - grand).sum(0)
        rest = np.square(pair - pair.mean(0) - pair.mean(1)[:, None] + grand).sum((0, 1)) / (n - 1)
        icc = (between - rest) / (between + rest + 2 * (raters - rest) / n)
    return {"ccc": ccc, "icc": icc}
