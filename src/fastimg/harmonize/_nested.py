"""NestedComBat: several batch variables (vendor, kernel, contrast ...), removed one after the other in the best order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone

from .. import _dispatch
from ..errors import ArgumentError, FormatError
from ..findings import Finding
from . import _record
from ._anderson import anderson_p_values
from ._combat import ComBat
from ._combat_apply import UnfittedError
from ._design import columns_of, feature_names, labels
from ._site_effect import ks_p_values
from ._sums import matrix

__all__ = ["NestedComBat"]

FORMAT, VERSION = "fastimg-nested-combat", 1
_MOST = 5  # batch variables whose orders are all tried: 120 orders, 325 fits


class NestedComBat(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """ComBat over one batch variable after another: nested ComBat, with the order optimised (OPNested).

    Parameters
    ----------
    estimator : ComBat, optional
        Its options are taken in each step. Default: ComBat().
    order : "best" or sequence of str
        "best": of all orders the one after which the fewest features differ between the levels of any batch variable, at
        0.05, summed over the variables (up to 5 variables). The first of equals.
    test : {"anderson", "ks"}
        The test that counts: Anderson-Darling of all levels at once (as published), or Kolmogorov-Smirnov of each level
        against the rest with Bonferroni's correction.

    Attributes
    ----------
    order_ : list of str
        The order taken.
    steps_ : list of (str, ComBat)
        The fitted steps.
    scores_ : dict
        Each order tried -> number of features that differ afterwards.
    findings_ : list of Finding
        Of all steps; `where` is the batch variable.

    Notes
    -----
    The order is chosen on the subjects of `fit`, so judge the result on others (`site_effect` with `harmonizer=`).
    Removing one variable can bring another's effect back: that is why the order matters.

    References
    ----------
    Horng et al., Scientific Reports 12:4493 (2022) and 12:19009 (2022).

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> rng = np.random.default_rng(0)
    >>> batch = {"vendor": np.repeat(["S", "G"], 40), "kernel": np.tile(["sharp", "soft"], 40)}
    >>> X = rng.normal(size=(80, 5)) + (batch["vendor"] == "S")[:, None] * 2 + (batch["kernel"] == "soft")[:, None]
    >>> clean = fi.harmonize.NestedComBat().fit_transform(X, batch=batch)
    >>> bool(abs(clean[:40].mean() - clean[40:].mean()) < 0.1)
    True
    """

    def __init__(
        self,
        estimator: ComBat | None = None,
        *,
        order: Literal["best"] | Sequence[str] = "best",
        test: Literal["anderson", "ks"] = "anderson",
    ) -> None:
        self.estimator = estimator
        self.order = order
        self.test = test

    def fit(self, X: Any, y: Any = None, *, batch: Any, covariates: Any = None) -> Self:
        """Choose the order and fit each step to what the steps before leave.

        Parameters
        ----------
        X, covariates
            As in `ComBat.fit`.
        y : ignored
        batch : table or mapping
            A column of labels for each batch variable.
        """
        if self.test not in ("anderson", "ks"):
            raise ArgumentError(f"test: must be 'anderson' or 'ks', got {self.test!r}")
        x = matrix(X)
        variables = _variables(batch, x.shape[0])
        given = None if isinstance(self.order, str) and self.order == "best" else list(self.order)
        if given is not None and sorted(given) != sorted(variables):
            raise ArgumentError(f"order: expected each of {sorted(variables)} once, got {given}")
        if given is None and len(variables) > _MOST:
            raise ArgumentError(f"order: 'best' tries all orders of up to {_MOST} batch variables; give the order")
        base = ComBat() if self.estimator is None else self.estimator
        self._names = feature_names(X) or [f"f{i}" for i in range(x.shape[1])]
        best: list[tuple[str, ComBat]] = []
        self.scores_: dict[tuple[str, ...], int] = {}
        orders = permutations(variables) if given is None else iter([tuple(given)])
        for steps, clean in _walk(orders, x, self._names, variables, covariates, base):
            order = tuple(name for name, _ in steps)
            score = self._score(clean, variables) if given is None else 0
            if not self.scores_ or score < min(self.scores_.values()):
                best = steps
            self.scores_[order] = score
        self.steps_, self.order_ = best, [name for name, _ in best]
        return self._named()

    def _named(self) -> Self:
        self.n_features_in_ = len(self._names)
        if any(name != f"f{i}" for i, name in enumerate(self._names)):
            self.feature_names_in_ = np.array(self._names, object)
        return self

    def _score(self, x: Any, variables: dict[str, list[Any]]) -> int:
        host = np.asarray(_dispatch.move(x, "cpu"), np.float64)
        whole = np.isfinite(host).all(0)
        test = anderson_p_values if self.test == "anderson" else ks_p_values
        count = 0
        for rows in variables.values():
            codes = np.unique(np.array(rows, object).astype(str), return_inverse=True)[1]
            if codes.max() > 0:
                count += int((test(host[:, whole], codes) < 0.05).sum())
        return count

    def transform(self, X: Any, *, batch: Any, covariates: Any = None) -> Any:
        """Remove each variable's effect, in the order of the fit.

        Parameters and errors as in `ComBat.transform`; `batch` is a table as in `fit`.
        """
        if not hasattr(self, "steps_"):
            raise UnfittedError("NestedComBat: this estimator is not fitted")
        x = matrix(X, tuple(self._names))
        variables = _variables(batch, x.shape[0])
        if sorted(variables) != sorted(self.order_):
            raise ArgumentError(f"batch: expected the columns {sorted(self.order_)}, got {sorted(variables)}")
        for name, step in self.steps_:
            x = step.transform(x, batch=variables[name], covariates=covariates)
        return x

    def fit_transform(self, X: Any, y: Any = None, *, batch: Any, covariates: Any = None) -> Any:
        """`fit` and `transform` of the same subjects.

        `batch` and `covariates` as in `NestedComBat.fit`; `y` is ignored.
        """
        return self.fit(X, batch=batch, covariates=covariates).transform(X, batch=batch, covariates=covariates)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "steps_")

    @property
    def findings_(self) -> list[Finding]:
        """What to know of each step."""
        found = []
        for name, step in self.steps_:
            found += [Finding(f.code, f.message, name, f.details) for f in step.findings_]
        return found

    def to_dict(self) -> dict[str, Any]:
        """The steps as plain values for JSON."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "test": self.test,
            "steps": [{"batch": name, "combat": step.to_dict()} for name, step in self.steps_],
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """The inverse of `to_dict`: an estimator that transforms.

        Raises FormatError where `record` is no such record or damaged.
        """
        if record.get("format") != FORMAT:
            raise FormatError(f"NestedComBat.from_dict: not a {FORMAT} record")
        _record.refuse_newer("NestedComBat", record.get("version"), VERSION)
        try:
            steps = [(str(step["batch"]), ComBat.from_dict(step["combat"])) for step in record["steps"]]
            self = cls(order=[name for name, _ in steps], test=record["test"])
        except (KeyError, TypeError) as error:
            raise FormatError(f"NestedComBat.from_dict: the record is damaged: {error}") from None
        if not steps:
            raise FormatError("NestedComBat.from_dict: the record has no step")
        self.steps_, self.order_, self.scores_ = steps, [name for name, _ in steps], {}
        self._names = list(steps[0][1].design_.features)
        return self._named()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the steps as a JSON file (format fastimg-nested-combat). `path` is replaced."""
        _record.write(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; a newer version is refused.

        Errors as in `NestedComBat.from_dict`; `path` is the file.
        """
        return cls.from_dict(_record.read(path, "NestedComBat"))


def _variables(batch: Any, count: int) -> dict[str, list[Any]]:
    if not isinstance(batch, Mapping) and not hasattr(batch, "columns") and not hasattr(batch, "column_names"):
        raise ArgumentError("batch: expected a table or mapping with a column for each batch variable")
    found = {name: labels(column, f"batch[{name!r}]", count) for name, column in columns_of(batch, count).items()}
    if not found:
        raise ArgumentError("batch: at least one batch variable is needed")
    return found


def _walk(
    orders: Iterator[tuple[str, ...]],
    x: Any,
    names: Sequence[str],
    variables: dict[str, list[Any]],
    covariates: Any,
    base: ComBat,
) -> Iterator[tuple[list[tuple[str, ComBat]], Any]]:
    """The fitted steps and the result of each order; steps that orders begin with in common are made once."""
    made: list[tuple[str, ComBat, Any]] = []
    for order in orders:
        common = 0
        while common < len(made) and made[common][0] == order[common]:
            common += 1
        del made[common:]
        for name in order[common:]:
            source = made[-1][2] if made else x
            step = clone(base)
            step.fit(source, batch=variables[name], covariates=covariates)
            made.append((name, step, step.transform(source, batch=variables[name], covariates=covariates)))
        yield [(name, step) for name, step, _ in made], made[-1][2]
