"""ComBat: batch effects of features, estimated from sums and removed."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from .. import _dispatch
from .._arrays import choice, result, thread_count
from ..errors import ArgumentError, FormatError
from ..findings import Finding
from ._design import Design, columns_of, feature_names, labels
from ._model import Model, solve
from ._monotone import MONOTONE, backward, forward, skewed
from ._sums import Statistics, matrix

__all__ = ["ComBat"]

_VERSION = 1
_SMALL = 20  # subjects a batch, under which the estimates are weak
_OPTIONS = ("parametric", "eb", "mean_only", "reference", "categorical", "missing", "monotone")
_ARRAYS = ("covariate_center", "mean", "beta", "var", "gamma_hat", "delta_hat", "gamma_star", "delta_star")
_FLAGS = ("constant", "known", "levels")


class ComBat(TransformerMixin, BaseEstimator):
    """Remove the shift and the scale that each batch (site, scanner, kernel ...) gives to each feature.

    A scikit-learn estimator whose `fit` and `transform` also take `batch` and `covariates`, a value a subject. It needs
    only sums (`Statistics`), so it streams (`partial_fit`), merges (`merge`) and can be fitted by a federation
    (`from_statistics`); all give the pooled result.

    Parameters
    ----------
    parametric : bool
        Normal and inverse gamma priors; else each feature is compared with all others (squares of features).
    eb : bool
        Empirical Bayes: shrink a batch's estimates towards what it does to all features. False: use them as they are.
    mean_only : bool
        Remove shifts and leave scales.
    reference : label, optional
        A batch that stays as it is; the others are brought to it.
    categorical : sequence of str
        Covariates that look numeric and are categories. Text and booleans always are.
    missing : {"error", "skip"}
        What NaN in X does: an error, or left out (sums are kept a feature); it stays NaN in the result.
    monotone : {None, "signed-log"}
        Work on sign(x) log(1 + |x|) and transform back: for skewed features, on which plain ComBat can create a
        difference between sites instead of removing it.
    threads : int, optional
        Default: `config.threads()`.

    Attributes
    ----------
    model_ : Model
        The estimates: mean, beta, var, gamma_star, delta_star ... (features, batches and columns as in `design_`).
    design_ : Design
        Features, batches and levels of the fit.
    findings_ : list of Finding
        Small batches, skewed or constant features, a single batch (then `transform` changes nothing).

    Notes
    -----
    Covariates are what must be kept (age, sex, disease stage), never the outcome that a model will be tested on: it
    would leak into the features. A subject of a batch that was not in the fit is refused: add some of its subjects
    to the fit first. Equal to the R package to 1e-12. Fitting keeps batches x features x (3 + columns) numbers, whatever
    the number of subjects.

    References
    ----------
    Johnson, Li & Rabinovic, Biostatistics 8:118 (2007). Fortin et al., NeuroImage 167:104 (2018).

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> rng = np.random.default_rng(0)
    >>> batch = np.repeat(["A", "B"], 40)
    >>> X = rng.normal(size=(80, 6)) + (batch == "B")[:, None] * 3
    >>> clean = fi.harmonize.ComBat().fit(X, batch=batch).transform(X, batch=batch)
    >>> bool(abs(clean[:40].mean() - clean[40:].mean()) < 0.05)
    True
    """

    def __init__(
        self,
        parametric: bool = True,
        eb: bool = True,
        mean_only: bool = False,
        reference: Any = None,
        *,
        categorical: Sequence[str] = (),
        missing: Literal["error", "skip"] = "error",
        monotone: Literal["signed-log"] | None = None,
        threads: int | None = None,
    ) -> None:
        self.parametric = parametric
        self.eb = eb
        self.mean_only = mean_only
        self.reference = reference
        self.categorical = categorical
        self.missing = missing
        self.monotone = monotone
        self.threads = threads

    # fitting ----------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, batch: Any, covariates: Any = None) -> Self:
        """Estimate from these subjects alone.

        Parameters
        ----------
        X : array or table, subjects x features
            float32 or float64; NumPy or CuPy. A table's column names are kept and checked by `transform`.
        y : ignored
        batch : sequence
            A label a subject.
        covariates : table, mapping or array, optional
            What to keep: numeric and categorical columns.

        Raises
        ------
        ArgumentError
            NaN (see `missing`), a batch of one subject, covariates confounded with the batches, labels missing.
        """
        self._forget()
        return self.partial_fit(X, batch=batch, covariates=covariates)

    def partial_fit(self, X: Any, y: Any = None, *, batch: Any, covariates: Any = None) -> Self:
        """Add subjects to the fit: chunk after chunk gives the estimates of all of them, in any order.

        Parameters and errors as in `fit`; new batches and levels may appear. The estimates are made at first use.
        """
        self._check_options()
        before: Statistics | None = getattr(self, "statistics_", None)
        x = matrix(X, None if before is None else tuple(before.design.features))
        names = feature_names(X) or [f"f{i}" for i in range(x.shape[1])]
        if before is not None:
            names = list(before.design.features)
        design = Design.of(
            names, labels(batch, "batch", x.shape[0]), columns_of(covariates, x.shape[0]), tuple(self.categorical)
        )
        if before is None:
            self._skew = skewed(x, design.features) if self.monotone is None else []
        stats = Statistics.of(
            forward(x, self.monotone),
            batch=batch,
            covariates=covariates,
            design=design,
            missing=self.missing,
            threads=self.threads,
        )
        return self._take(stats if before is None else before.merge(stats))

    def merge(self, other: ComBat | Statistics) -> Self:
        """A new estimator of the subjects of both; neither is changed."""
        stats = other.statistics if isinstance(other, ComBat) else other
        if isinstance(other, ComBat) and other.monotone != self.monotone:
            raise ArgumentError("merge: the two were fitted with different monotone transforms")
        return type(self)(**self.get_params())._take(self.statistics.merge(stats))

    @classmethod
    def from_statistics(cls, statistics: Statistics, **options: Any) -> Self:
        """An estimator of these sums, with the options of the constructor.

        >>> import numpy as np
        >>> from fastimg.harmonize import ComBat, Statistics
        >>> X, batch = np.random.default_rng(0).normal(size=(60, 4)), ["A", "B"] * 30
        >>> one = ComBat.from_statistics(Statistics.of(X, batch=batch)).transform(X, batch=batch)
        >>> bool(np.array_equal(one, ComBat().fit(X, batch=batch).transform(X, batch=batch)))
        True
        """
        self = cls(**options)
        self._check_options()
        return self._take(statistics)

    def _take(self, stats: Statistics) -> Self:
        self.statistics_ = stats
        self.n_features_in_ = len(stats.design.features)
        self.feature_names_in_ = np.array(stats.design.features, object)
        self.__dict__.pop("_model", None)
        return self

    def _forget(self) -> None:
        for name in ("statistics_", "_model", "_skew"):
            self.__dict__.pop(name, None)

    def _check_options(self) -> None:
        choice("missing", self.missing, ("error", "skip"))
        choice("monotone", self.monotone, MONOTONE)

    # what was fitted --------------------------------------------------------------------------------------------------

    @property
    def statistics(self) -> Statistics:
        """The sums this estimator was made of."""
        stats: Statistics | None = getattr(self, "statistics_", None)
        if stats is None:
            known = "was loaded without its sums" if "_model" in self.__dict__ else "is not fitted"
            raise ArgumentError(f"ComBat: this estimator {known}")
        return stats

    @property
    def model_(self) -> Model:
        """The estimates; made at first use after a fit."""
        model: Model | None = self.__dict__.get("_model")
        if model is None:
            model = solve(
                self.statistics,
                parametric=self.parametric,
                eb=self.eb,
                mean_only=self.mean_only,
                reference=self.reference,
            )
            self._model = model
        return model

    @property
    def design_(self) -> Design:
        """Features, batches and levels of the fit."""
        model: Model | None = self.__dict__.get("_model")
        return self.statistics.design if model is None else model.design

    @property
    def findings_(self) -> list[Finding]:
        """What to know of this fit."""
        design, found = self.design_, []
        if self._is_single():
            found.append(Finding("combat-skipped", "All subjects are of one batch: nothing was changed."))
        stats: Statistics | None = getattr(self, "statistics_", None)
        if stats is not None:
            small = {str(label): n for label, n in stats.subjects.items() if 0 < n < _SMALL}
            if small:
                message = f"{len(small)} of {len(design.batches)} batches have fewer than {_SMALL} subjects."
                found.append(Finding("combat-small-batch", message, details={"subjects": small}))
        skew: list[str] = getattr(self, "_skew", [])
        if skew:
            message = (
                f"{len(skew)} of {len(design.features)} features are strongly skewed: ComBat may create a site effect; "
                "monotone='signed-log' and site_effect() help."
            )
            found.append(Finding("combat-skewed", message, details={"features": skew}))
        if not self._is_single() and self.model_.constant.any():
            names = [name for name, flag in zip(design.features, self.model_.constant, strict=True) if flag]
            message = f"{len(names)} features have no variance and were left as they are."
            found.append(Finding("combat-constant-feature", message, details={"features": names}))
        return found

    def _is_single(self) -> bool:
        model: Model | None = self.__dict__.get("_model")
        known = self.statistics.sums["rows"] > 0 if model is None else model.known
        return int(known.sum()) < 2

    # using ------------------------------------------------------------------------------------------------------------

    def transform(self, X: Any, *, batch: Any, covariates: Any = None, out: Any = None) -> Any:
        """Remove the batch effects from subjects of batches that were in the fit.

        Parameters
        ----------
        X, batch, covariates
            As in `fit`; the same features in the same order.
        out : array, optional
            Same shape and type as X; must not overlap it.

        Returns
        -------
        array, subjects x features
            float32 for float32, else float64, on X's device.

        Raises
        ------
        ArgumentError
            Not fitted; another number, name or order of features; a batch or level that was not in the fit; NaN.
        """
        design = self.design_
        x = matrix(X, tuple(design.features))
        codes, columns = design.encode(batch, covariates, x.shape[0])
        target = result(out, x.shape, x.dtype, x)
        _refuse_values(x, self.missing)
        if self._is_single():
            target[...] = x
            return target
        model = self.model_
        unknown = sorted({str(design.batches[k]) for k in np.unique(codes) if not model.known[k]})
        if unknown:
            raise ArgumentError(f"batch: {', '.join(unknown)} had no subject in the fit")
        if columns.size and (columns[:, ~model.levels] != 0).any():
            raise ArgumentError("covariates: a level had no subject in the fit")
        if self.reference is not None:
            codes = np.where(codes == design.batches.index(self.reference), -1, codes).astype(np.int32)
        columns -= model.covariate_center
        gamma = model.gamma_star * np.sqrt(model.var)
        gamma[:, model.constant] = 0.0
        alpha = 1 / np.sqrt(model.delta_star)
        where = _dispatch.device(x)
        parts = (codes, np.ascontiguousarray(columns), model.mean, model.beta, gamma, alpha)
        on_device = [_dispatch.move(np.ascontiguousarray(part), where) for part in parts]
        leaf = _dispatch.pick(x, leaf="harmonize")
        source = forward(x, self.monotone)
        leaf.combat_apply(source, target, *on_device, threads=thread_count(self.threads))
        if self.monotone is not None:
            target[...] = backward(target, self.monotone)
            if self.reference is not None:  # the reference batch stays to the last bit
                own = _dispatch.move(codes < 0, where)
                target[own] = x[own]
        return target

    def fit_transform(self, X: Any, y: Any = None, *, batch: Any, covariates: Any = None) -> Any:
        """`fit` and `transform` of the same subjects."""
        return self.fit(X, batch=batch, covariates=covariates).transform(X, batch=batch, covariates=covariates)

    def __sklearn_is_fitted__(self) -> bool:
        return "_model" in self.__dict__ or hasattr(self, "statistics_")

    # keeping ----------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Options and estimates as plain values for JSON; the sums are not among them."""
        model = self.model_
        options = {name: getattr(self, name) for name in _OPTIONS}
        return {
            "format": "fastimg-combat",
            "version": _VERSION,
            "options": options | {"categorical": list(self.categorical)},
            "design": model.design.to_dict(),
            "steps": model.steps,
            **{name: getattr(model, name).tolist() for name in (*_ARRAYS, *_FLAGS)},
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """The inverse of `to_dict`: an estimator that transforms; its sums are gone, so it cannot be added to."""
        if record.get("format") != "fastimg-combat":
            raise FormatError("ComBat.from_dict: not a fastimg-combat record")
        if record.get("version") != _VERSION:
            raise FormatError(f"ComBat.from_dict: version {record.get('version')!r} is not {_VERSION}; update fastimg")
        try:
            options = {name: record["options"][name] for name in _OPTIONS}
            design = Design.from_dict(record["design"])
            q, k, p = len(design.columns), len(design.batches), len(design.features)
            shapes: dict[str, tuple[int, ...]] = {"mean": (p,), "var": (p,), "beta": (q, p), "constant": (p,)}
            shapes |= {"known": (k,), "levels": (q,), "covariate_center": (q,)}
            fields: dict[str, Any] = {}
            for name in (*_ARRAYS, *_FLAGS):
                kind = np.bool_ if name in _FLAGS else np.float64
                fields[name] = np.array(record[name], kind).reshape(shapes.get(name, (k, p)))
            self = cls(**options)
            self._check_options()
            self._model = Model(design=design, steps=int(record["steps"]), **fields)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"ComBat.from_dict: the record is damaged: {error}") from None
        self.n_features_in_ = p
        self.feature_names_in_ = np.array(design.features, object)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the estimates as a JSON file (format fastimg-combat, see `to_dict`)."""
        if self._is_single():
            raise ArgumentError("ComBat.save: a fit of one batch has no estimates")
        Path(path).write_text(json.dumps(self.to_dict(), allow_nan=False))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; a newer version is refused."""
        try:
            record = json.loads(Path(path).read_text())
        except ValueError as error:
            raise FormatError(f"ComBat.load: not a JSON file: {error}") from None
        if not isinstance(record, dict):
            raise FormatError("ComBat.load: not a fastimg-combat record")
        return cls.from_dict(record)


def _refuse_values(x: Any, missing: str) -> None:
    """Infinities always, NaN unless it is to be skipped. A sum of squares tells at the speed of memory, or overflows."""
    if not x.size:
        return
    xp = _dispatch.namespace(x)
    flat = x.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(float(xp.vdot(flat, flat))):
            return
    bad = xp.isinf(flat) if missing == "skip" else ~xp.isfinite(flat)
    if bool(bad.any()):
        raise ArgumentError("X: has NaN or infinite values; impute them, or pass missing='skip' for NaN")
