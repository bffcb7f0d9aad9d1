"""ComBat: batch effects of features, estimated from sums and removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

from .. import _dispatch
from .._arrays import choice, result
from ..errors import ArgumentError
from ..findings import Finding
from ._combat_apply import UnfittedError, apply, refuse_values
from ._combat_findings import findings_of
from ._design import Design, columns_of, feature_names, labels, splines_of
from ._model import Model, extended, solve
from ._monotone import MONOTONE, Scale, check_scale, skewed, tied
from ._record import Recorded
from ._robust import winsorised
from ._spline import Spline
from ._stream import Streaming
from ._sums import Statistics, matrix

__all__ = ["ComBat"]


class ComBat(Streaming, Recorded, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
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
    interactions : sequence of sequences of str
        Products of covariates that are kept too, such as ("age", "sex"); `Formula` makes the list of a formula.
    smooth : sequence of str, or mapping of str to Spline or int
        Numeric covariates whose effect is a smooth curve (ComBat-GAM): by name, with the number of splines (10), or with
        a `Spline` of one's own. Knots not given are those of the subjects that are first seen.
    missing : {"error", "skip"}
        What NaN in X does; "skip": left out (sums are kept a feature), and it stays NaN in the result.
    monotone : {None, "signed-log", "rank-normal"}
        Work on sign(x) log(1 + abs(x)), or on the normal scores of the ranks, and transform back: for skewed features, on
        which plain ComBat can create a difference between sites instead of removing it. Ranks are those of the subjects
        that are first seen, and up to 1000 values of each feature are kept, also in a file.
    robust : float, optional
        Values further than this many robust standard deviations from the middle of their batch count as if they stood
        there, in the estimates (5 spares all but gross outliers, 3 is strict). `fit` alone takes it, not `partial_fit`.
    threads : int, optional
        Default: `config.threads()`.

    Attributes
    ----------
    model_ : Model
        The estimates: mean, beta, var, gamma_star, delta_star ... (features, batches and columns in the order of `design_`).
    design_ : Design
        Features, batches and levels of the fit.
    findings_ : list of Finding
        Small batches, skewed, tied or constant features, a single batch (then `transform` changes nothing).

    Notes
    -----
    Covariates are what must be kept (age, sex, disease stage), never the outcome that a model will be tested on: it
    would leak into the features; `y` is ignored. Fit to training subjects alone; `site_effect` and scikit-learn's
    cross-validation (with metadata routing) refit in each fold. Equal to the R package to 1e-12. Fitting keeps
    batches x features x (3 + columns) numbers, whatever the number of subjects.

    A subject of a batch that was not in the fit is refused. There are two ways for a new site: `partial_fit` or `merge`
    its subjects, which makes all estimates anew; or `add_batch`, which estimates the new site alone and leaves what was
    harmonised before as it was.

    References
    ----------
    Johnson, Li & Rabinovic, Biostatistics 8:118 (2007). Fortin et al., NeuroImage 167:104 (2018). Pomponio et al.,
    NeuroImage 208:116450 (2020): smooth covariates.

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
        interactions: Sequence[Sequence[str]] = (),
        smooth: Sequence[str] | Mapping[str, Spline | int] = (),
        missing: Literal["error", "skip"] = "error",
        monotone: Literal["signed-log", "rank-normal"] | None = None,
        robust: float | None = None,
        threads: int | None = None,
    ) -> None:
        self.parametric = parametric
        self.eb = eb
        self.mean_only = mean_only
        self.reference = reference
        self.categorical = categorical
        self.interactions = interactions
        self.smooth = smooth
        self.missing = missing
        self.monotone = monotone
        self.robust = robust
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
        self._add(X, batch, covariates)
        if not self._is_single():
            self.model_  # noqa: B018  (made here, so that its errors come from the call that caused them)
        return self

    def partial_fit(self, X: Any, y: Any = None, *, batch: Any, covariates: Any = None) -> Self:
        """Add subjects to the fit: chunk after chunk gives the estimates of all of them, in any order.

        Parameters and errors as in `fit`; new batches and levels may appear. The estimates are made at first use.
        """
        if self.robust is not None:
            raise ArgumentError("robust: outliers are told by all subjects of a batch; use fit")
        return self._add(X, batch, covariates)

    def _add(self, X: Any, batch: Any, covariates: Any) -> Self:
        self._check_options()
        before: Statistics | None = self.statistics if self.__sklearn_is_fitted__() else None
        x = matrix(X, None if before is None else tuple(before.design.features))
        if x.shape[0] == 0 and before is None:
            raise ArgumentError(f"X: 0 sample(s) (shape={x.shape}) while a minimum of 1 is required.")
        names = feature_names(X) or [f"f{i}" for i in range(x.shape[1])]
        if before is not None:
            names = list(before.design.features)
        design = self._design_of(names, batch, columns_of(covariates, x.shape[0]), before)
        if before is None:
            self._skew = skewed(x, design.features) if self.monotone is None else []
            self._tied = tied(x, design.features)
            self._scale = Scale.of(self.monotone, x)
        about = {"batch": batch, "covariates": covariates, "design": design, "threads": self.threads}
        source = self._scale.forward(x)
        if self.robust is not None:
            refuse_values(x, self.missing)
            host = np.asarray(_dispatch.move(source, "cpu"), np.float64)
            source = winsorised(host, cut=self.robust, mean_only=self.mean_only, **about)
        stats = Statistics.of(source, missing=self.missing, **about)
        return self._take(stats if before is None else before.merge(stats))

    def _design_of(
        self, names: Sequence[str], batch: Any, columns: dict[str, npt.NDArray[Any]], before: Statistics | None
    ) -> Design:
        splines = splines_of(self.smooth, columns) if before is None else before.design.splines
        count = len(next(iter(columns.values()))) if columns else len(batch)
        rows = labels(batch, "batch", count)
        return Design.of(names, rows, columns, tuple(self.categorical), tuple(self.interactions), splines)

    def merge(self, other: ComBat | Statistics) -> Self:
        """A new estimator of the subjects of both; neither is changed.

        Raises ArgumentError where `other` has other features, covariates or options.
        """
        stats = other.statistics if isinstance(other, ComBat) else other
        if isinstance(other, ComBat):
            check_scale(self._scale, other._scale)
            if other.robust != self.robust:
                raise ArgumentError("merge: the two were fitted with different robust options")
        merged = type(self)(**self.get_params())
        merged._scale = self._scale
        return merged._take(self.statistics.merge(stats))

    def add_batch(self, X: Any, *, batch: Any, covariates: Any = None) -> Self:
        """A new estimator that knows further batches as well; what it does to the others does not change.

        The new batches' shift and scale are estimated against the mean, slopes and variance of this fit, which stay. It
        needs no sums, so it works after `load`; the result has none and cannot be added to by `partial_fit`.

        Parameters
        ----------
        X, batch, covariates
            Subjects of batches that were not in the fit, two or more of each; as in `fit`.

        Raises
        ------
        ArgumentError
            A batch that is in the fit already, or of one subject; a level of a covariate that the fit did not see.
        """
        model = self.model_
        if self._is_single() and self.reference is None:
            raise ArgumentError("add_batch: the fit is of one batch; fit both batches together")
        x = matrix(X, tuple(model.design.features))
        refuse_values(x, self.missing)
        old = model.design
        rows = tuple(dict.fromkeys(labels(batch, "batch", x.shape[0])))
        design = Design(old.features, rows, old.covariates, old.interactions, old.splines)
        source, columns = self._scale.forward(x), design.encode(batch, covariates, x.shape[0])[1]
        if columns.size and (columns[:, ~model.levels] != 0).any():
            raise ArgumentError("covariates: a level had no subject in the fit")
        about = {"batch": batch, "covariates": covariates, "design": design, "threads": self.threads}
        if self.robust is not None:
            host = np.asarray(_dispatch.move(source, "cpu"), np.float64)
            source = winsorised(host, cut=self.robust, mean_only=self.mean_only, **about)
        stats = Statistics.of(source, missing=self.missing, **about)
        options = {"parametric": self.parametric, "eb": self.eb, "mean_only": self.mean_only}
        wider = type(self)(**self.get_params())
        wider._scale = self._scale
        return wider._hold(extended(model, stats, **options))

    @classmethod
    def from_statistics(cls, statistics: Statistics, **options: Any) -> Self:
        """An estimator of these sums, with the options of the constructor.

        `statistics` are the sums. Raises ArgumentError for monotone="rank-normal", which learns from values.

        >>> import numpy as np
        >>> from fastimg.harmonize import ComBat, Statistics
        >>> X, batch = np.random.default_rng(0).normal(size=(60, 4)), ["A", "B"] * 30
        >>> one = ComBat.from_statistics(Statistics.of(X, batch=batch)).transform(X, batch=batch)
        >>> bool(np.array_equal(one, ComBat().fit(X, batch=batch).transform(X, batch=batch)))
        True
        """
        self = cls(**options)
        self._check_options()
        if self.monotone == "rank-normal":
            raise ArgumentError("monotone: 'rank-normal' learns from values, and sums have none; use 'signed-log'")
        self._scale = Scale(self.monotone)
        return self._take(statistics)

    def _take(self, stats: Statistics) -> Self:
        self.statistics_ = stats
        self._made: dict[str, Model] = {}
        self._name(stats.design)
        return self

    def _holding(self, model: Model) -> Self:
        """This unfitted estimator, with estimates that were made elsewhere."""
        self._scale = Scale(self.monotone)
        return self._hold(model)

    def _hold(self, model: Model) -> Self:
        self._made = {"model": model}
        self._name(model.design)
        return self

    def _name(self, design: Design) -> None:
        self.n_features_in_ = len(design.features)
        if any(name != f"f{i}" for i, name in enumerate(design.features)):
            self.feature_names_in_ = np.array(design.features, object)

    def _forget(self) -> None:
        for name in ("statistics_", "_made", "_skew", "_tied", "_scale", "feature_names_in_", "n_features_in_"):
            self.__dict__.pop(name, None)

    def _check_options(self) -> None:
        choice("missing", self.missing, ("error", "skip"))
        choice("monotone", self.monotone, MONOTONE)
        if self.robust is not None:
            cut = self.robust
            if isinstance(cut, (bool, str)) or not np.isfinite(cut) or cut < 1:
                raise ArgumentError(f"robust: must be a number of standard deviations from 1, or None; got {cut!r}")

    # what was fitted --------------------------------------------------------------------------------------------------

    @property
    def statistics(self) -> Statistics:
        """The sums this estimator was made of; ArgumentError where it was loaded without them."""
        stats: Statistics | None = getattr(self, "statistics_", None)
        if stats is None:
            if self._known() is None:
                raise UnfittedError("ComBat: this estimator is not fitted")
            raise ArgumentError("ComBat: this estimator was loaded (or widened by add_batch) without its sums")
        return stats

    @property
    def model_(self) -> Model:
        """The estimates; made at first use after a fit."""
        model = self._known()
        if model is None:
            model = solve(
                self.statistics,
                parametric=self.parametric,
                eb=self.eb,
                mean_only=self.mean_only,
                reference=self.reference,
            )
            self._made["model"] = model
        return model

    def _known(self) -> Model | None:
        """The estimates, if they were made: of a fit, or by `load` and `add_batch`."""
        made: dict[str, Model] = self.__dict__.get("_made", {})
        return made.get("model")

    @property
    def design_(self) -> Design:
        """Features, batches and levels of the fit."""
        model = self._known()
        return self.statistics.design if model is None else model.design

    @property
    def findings_(self) -> list[Finding]:
        """What to know of this fit."""
        return findings_of(
            self.design_,
            getattr(self, "statistics_", None),
            None if self._is_single() else self.model_,
            tied=getattr(self, "_tied", []),
            skewed=getattr(self, "_skew", []),
        )

    def _is_single(self) -> bool:
        model = self._known()
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
        refuse_values(x, self.missing)
        if self._is_single():
            target[...] = x
            return target
        model = self.model_
        about = {"scale": self._scale, "reference": self.reference, "threads": self.threads}
        return apply(model, x, target, codes, columns, **about)

    def fit_transform(self, X: Any, y: Any = None, *, batch: Any, covariates: Any = None) -> Any:
        """`fit` and `transform` of the same subjects."""
        return self.fit(X, batch=batch, covariates=covariates).transform(X, batch=batch, covariates=covariates)

    def __sklearn_is_fitted__(self) -> bool:
        return "_made" in self.__dict__

    def _scaled(self, x: Any) -> Any:
        scale: Scale = self.__dict__.get("_scale") or Scale(self.monotone)
        return scale.forward(x)

    def _unscaled(self, x: Any) -> Any:
        return self._scale.backward(x)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "skip"
        return tags
