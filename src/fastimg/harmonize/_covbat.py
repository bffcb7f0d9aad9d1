"""CovBat: ComBat, and then the batches' covariances of features made alike.

Everything follows from sums: of the features (`Statistics`) and of the products of their pairs in each batch. With
z = D (d - const - B'c), D the scales and d, c deviations, sum zz' of a batch is D (S_dd - B'S_cd - S_dc B + B'S_cc B) D and
its principal scores have the sums w'z and w' zz' w: ComBat's own statistics, of which the scores are harmonised.
"""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone

from .. import _dispatch
from ..errors import ArgumentError, FormatError
from ..findings import Finding
from . import _record
from ._combat import ComBat
from ._combat_apply import UnfittedError
from ._design import Design, columns_of, feature_names, labels
from ._stream import Streaming
from ._sums import Statistics, matrix

__all__ = ["CovBat"]

FORMAT, VERSION = "fastimg-covbat", 1
Array = npt.NDArray[np.float64]


class CovBat(Streaming, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """ComBat that also removes the batches' differences in covariance between features.

    After ComBat the standardised residuals are turned to principal components of all subjects; the scores of the first
    components get ComBat without covariates, and are turned back.

    Parameters
    ----------
    estimator : ComBat, optional
        Options of the first step. Default: ComBat(). Not `reference`, `missing="skip"`, `robust` or a scale learned
        from ranks.
    explained : float
        Share of the variance that the harmonised components explain, in (0, 1); at least one component.
    components : int, optional
        Their number, instead.
    scale : bool
        Components of correlations, not of covariances.
    score_eb : bool
        Shrink the scores' shift and scale by empirical Bayes.

    Attributes
    ----------
    combat_, scores_ : ComBat
        The first step, and the one of the scores.
    loadings_ : (features, components) ndarray
    center_, spread_ : (features,) ndarray
        By which the standardised residuals are centred and divided.
    findings_ : list of Finding

    Notes
    -----
    A fit keeps batches x features^2 numbers (1500 features: 18 MB a batch) whatever the number of subjects: it streams,
    merges and can be fitted by a federation (`Statistics.of(products=True)`), where it discloses the covariance of each
    batch. Nothing is estimated from fewer subjects than components: with few subjects a batch take few components.

    References
    ----------
    Chen et al., Human Brain Mapping 43:1179 (2022). The defaults are those of its R package: 95 % of the variance, of
    correlations, without empirical Bayes.

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> rng = np.random.default_rng(0)
    >>> batch = np.repeat(["A", "B"], 200)
    >>> X = rng.normal(size=(400, 2))
    >>> X[:200, 1] += X[:200, 0]  # the two features go together at one site alone
    >>> clean = fi.harmonize.CovBat().fit_transform(X, batch=batch)
    >>> one, two = (np.corrcoef(clean[batch == b].T)[0, 1] for b in "AB")
    >>> bool(abs(one - two) < 0.05)
    True
    """

    def __init__(
        self,
        estimator: ComBat | None = None,
        *,
        explained: float = 0.95,
        components: int | None = None,
        scale: bool = True,
        score_eb: bool = False,
    ) -> None:
        self.estimator = estimator
        self.explained = explained
        self.components = components
        self.scale = scale
        self.score_eb = score_eb

    # fitting ----------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, batch: Any, covariates: Any = None) -> Self:
        """Estimate from these subjects alone; parameters and errors as in `ComBat.fit`."""
        self._forget()
        self._add(X, batch, covariates)
        self._parts()  # made here, so that its errors come from the call that caused them
        return self

    def _forget(self) -> None:
        for name in ("statistics_", "_made"):
            self.__dict__.pop(name, None)

    def partial_fit(self, X: Any, y: Any = None, *, batch: Any, covariates: Any = None) -> Self:
        """Add subjects; chunk after chunk gives the estimates of all of them, in any order. `y` is ignored."""
        return self._add(X, batch, covariates)

    def _add(self, X: Any, batch: Any, covariates: Any) -> Self:
        base = self._base()
        before: Statistics | None = getattr(self, "statistics_", None)
        if before is None and self.__sklearn_is_fitted__():
            raise ArgumentError("CovBat: this estimator was loaded without its sums")
        x = matrix(X, None if before is None else tuple(before.design.features))
        if x.shape[0] == 0 and before is None:
            raise ArgumentError(f"X: 0 sample(s) (shape={x.shape}) while a minimum of 1 is required.")
        names = list(before.design.features) if before else feature_names(X) or [f"f{i}" for i in range(x.shape[1])]
        columns = columns_of(covariates, x.shape[0])
        base._check_options()
        design = base._design_of(names, labels(batch, "batch", x.shape[0]), columns, before)
        stats = Statistics.of(
            base._scaled(x),
            batch=batch,
            covariates=covariates,
            design=design,
            products=True,
            threads=base.threads,
        )
        return self._take(stats if before is None else before.merge(stats))

    @classmethod
    def from_statistics(cls, statistics: Statistics, **options: Any) -> Self:
        """An estimator of these sums (`products=True`), with the options of the constructor.

        `statistics` are the sums.
        """
        return cls(**options)._take(statistics)

    def merge(self, other: CovBat | Statistics) -> Self:
        """A new estimator of the subjects of both; neither is changed.

        Raises ArgumentError where `other` has other features, covariates or options.
        """
        mine = self._sums()
        if isinstance(other, CovBat):
            if other._base().monotone != self._base().monotone:
                raise ArgumentError("merge: the two were fitted with different monotone transforms")
            other = other._sums()
        return type(self)(**self.get_params(deep=False))._take(mine.merge(other))

    def _base(self) -> ComBat:
        base = ComBat() if self.estimator is None else clone(self.estimator)
        if base.reference is not None or base.missing != "error" or base.robust is not None:
            raise ArgumentError("CovBat: reference, missing='skip' and robust are ComBat's alone")
        if base.monotone == "rank-normal":
            raise ArgumentError("CovBat: monotone='rank-normal' is ComBat's alone; use 'signed-log'")
        if self.components is None and not 0 < self.explained < 1:
            raise ArgumentError(f"explained: must lie between 0 and 1, got {self.explained!r}")
        if self.components is not None and self.components < 1:
            raise ArgumentError(f"components: must be at least 1, got {self.components!r}")
        return base

    def _take(self, stats: Statistics) -> Self:
        if "dd" not in stats.sums:
            raise ArgumentError("CovBat: these statistics have no products of features; Statistics.of(products=True)")
        self.statistics_ = stats
        self._made: dict[str, Any] = {}
        self._named(stats.design)
        return self

    def _named(self, design: Design) -> None:
        self.n_features_in_ = len(design.features)
        if any(name != f"f{i}" for i, name in enumerate(design.features)):
            self.feature_names_in_ = np.array(design.features, object)

    def _sums(self) -> Statistics:
        if not hasattr(self, "statistics_"):
            raise UnfittedError("CovBat: this estimator is not fitted, or was loaded without its sums")
        return self.statistics_

    def _parts(self) -> dict[str, Any]:
        if not self.__sklearn_is_fitted__():
            raise UnfittedError("CovBat: this estimator is not fitted")
        if not self._made:
            stats = self._sums()
            base = self._base()
            options = {name: value for name, value in base.get_params().items() if name != "smooth"}
            combat = ComBat.from_statistics(stats, **options)
            self._made["combat"] = combat
            if not combat._is_single():
                self._made |= self._components(stats, combat)
        return self._made

    def _components(self, stats: Statistics, combat: ComBat) -> dict[str, Any]:
        sums, squares = _residual_sums(stats, combat)
        n = stats.sums["rows"]
        total = n.sum()
        center = sums.sum(0) / total
        covariance = squares.sum(0) / total - np.outer(center, center)
        own = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        spread = np.where(own > 0, own, 1.0) if self.scale else np.ones(len(center))
        values, vectors = np.linalg.eigh(covariance / np.outer(spread, spread))
        values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
        count = self.components
        if count is None:
            count = int(np.searchsorted(np.cumsum(values) / values.sum(), self.explained, side="right")) + 1
        count = min(count, int((values > 1e-12 * values[0]).sum()))
        loadings = np.ascontiguousarray(vectors[:, :count])
        turn = loadings / spread[:, None]
        about = (sums - n[:, None] * center) @ turn
        shifted = squares - sums[:, :, None] * center - center[:, None] * sums[:, None]
        shifted += n[:, None, None] * np.outer(center, center)
        design = Design([f"component {i}" for i in range(count)], stats.design.batches)
        k = len(n)
        score = Statistics(
            design,
            {
                "rows": n,
                "n": n[:, None],
                "c": np.zeros((k, 0, 1)),
                "cc": np.zeros((k, 0, 0, 1)),
                "y": about,
                "yy": np.einsum("kij,ic,jc->kc", shifted, turn, turn, optimize=True),
                "cy": np.zeros((k, 0, count)),
            },
            center=0.0,
        )
        scores = ComBat.from_statistics(score, eb=self.score_eb)
        scores.model_  # noqa: B018  (its errors belong here)
        return {"scores": scores, "loadings": loadings, "center": center, "spread": spread}

    # what was fitted --------------------------------------------------------------------------------------------------

    @property
    def combat_(self) -> ComBat:
        """The first step."""
        combat: ComBat = self._parts()["combat"]
        return combat

    @property
    def scores_(self) -> ComBat:
        """ComBat of the scores."""
        scores: ComBat = self._parts()["scores"]
        return scores

    @property
    def loadings_(self) -> Array:
        """(features, components)."""
        return np.asarray(self._parts()["loadings"])

    @property
    def center_(self) -> Array:
        """(features,): mean of the standardised residuals."""
        return np.asarray(self._parts()["center"])

    @property
    def spread_(self) -> Array:
        """(features,): by which they are divided."""
        return np.asarray(self._parts()["spread"])

    @property
    def findings_(self) -> list[Finding]:
        """What to know of this fit."""
        return self.combat_.findings_

    # using ------------------------------------------------------------------------------------------------------------

    def transform(self, X: Any, *, batch: Any, covariates: Any = None) -> Any:
        """Remove the batch effects; parameters, result and errors as in `ComBat.transform`."""
        parts = self._parts()
        combat: ComBat = parts["combat"]
        x = matrix(X, tuple(combat.design_.features))
        clean = combat.transform(x, batch=batch, covariates=covariates)
        if "scores" not in parts:
            return clean
        model, where, xp = combat.model_, _dispatch.device(x), _dispatch.namespace(x)
        _, columns = combat.design_.encode(batch, covariates, x.shape[0])
        fitted = model.mean + (columns - model.covariate_center) @ model.beta
        sd = np.where(model.constant, 1.0, np.sqrt(model.var))
        fitted, over, center, back, forth = (
            _dispatch.move(np.ascontiguousarray(part), where)
            for part in (
                fitted,
                1 / sd,
                parts["center"],
                (parts["loadings"] * (parts["spread"] * np.where(model.constant, 0.0, sd))[:, None]).T,
                parts["loadings"] / parts["spread"][:, None],
            )
        )
        here = combat._scaled(clean).astype(np.float64)
        score = xp.ascontiguousarray(((here - fitted) * over - center) @ forth)
        moved = parts["scores"].transform(score, batch=batch)
        return combat._unscaled((here + (moved - score) @ back).astype(x.dtype))

    def fit_transform(self, X: Any, y: Any = None, *, batch: Any, covariates: Any = None) -> Any:
        """`fit` and `transform` of the same subjects. `y` is ignored."""
        return self.fit(X, batch=batch, covariates=covariates).transform(X, batch=batch, covariates=covariates)

    def __sklearn_is_fitted__(self) -> bool:
        return "_made" in self.__dict__

    # keeping ----------------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Options and estimates as plain values for JSON.

        Raises ArgumentError for a fit of one batch, which has none.
        """
        parts = self._parts()
        if "scores" not in parts:
            raise ArgumentError("CovBat.save: a fit of one batch has no estimates")
        return {
            "format": FORMAT,
            "version": VERSION,
            "options": {name: getattr(self, name) for name in ("explained", "components", "scale", "score_eb")},
            "combat": parts["combat"].to_dict(),
            "scores": parts["scores"].to_dict(),
            **{name: parts[name].tolist() for name in ("loadings", "center", "spread")},
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """The inverse of `to_dict`: an estimator that transforms.

        Raises FormatError where `record` is no such record or damaged.
        """
        if record.get("format") != FORMAT:
            raise FormatError(f"CovBat.from_dict: not a {FORMAT} record")
        _record.refuse_newer("CovBat", record.get("version"), VERSION)
        try:
            combat, scores = ComBat.from_dict(record["combat"]), ComBat.from_dict(record["scores"])
            shape = (len(combat.design_.features), len(scores.design_.features))
            arrays = {name: np.array(record[name], np.float64) for name in ("loadings", "center", "spread")}
            if arrays["loadings"].shape != shape or any(arrays[n].shape != shape[:1] for n in ("center", "spread")):
                raise FormatError("CovBat.from_dict: the arrays have wrong shapes")
            self = cls(estimator=clone(combat), **record["options"])
        except (KeyError, TypeError) as error:
            raise FormatError(f"CovBat.from_dict: the record is damaged: {error}") from None
        self._made = {"combat": combat, "scores": scores, **arrays}
        self._named(combat.design_)
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the estimates as a JSON file (format fastimg-covbat).

        Errors as in `CovBat.to_dict`; `path` is the file.
        """
        _record.write(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; a newer version is refused. Errors as in `CovBat.from_dict`; `path` is the file."""
        return cls.from_dict(_record.read(path, "CovBat"))


def _residual_sums(stats: Statistics, combat: ComBat) -> tuple[Array, Array]:
    """Sums of z and of zz' of each batch, z the standardised residuals after ComBat."""
    model, sums = combat.model_, stats.sums
    sd = np.where(model.constant, 1.0, np.sqrt(model.var))
    n, y, c, cc, cy = sums["rows"], sums["y"], sums["c"][:, :, 0], sums["cc"][..., 0], sums["cy"]
    beta = model.beta
    # z = scale * (d - beta' c~ - rest): d about the sums' centre, c~ about the covariates' (which the model's is)
    rest = model.mean + model.gamma_star * sd - stats.center
    effect = c @ beta
    plain = y - effect - n[:, None] * rest
    cross = np.einsum("qp,kqr->kpr", beta, cy, optimize=True)
    squares = sums["dd"] - cross - cross.swapaxes(1, 2)
    squares += np.einsum("qp,kqs,sr->kpr", beta, cc, beta, optimize=True)
    moved = (y - effect)[:, :, None] * rest[:, None]
    squares += n[:, None, None] * rest[:, :, None] * rest[:, None] - moved - moved.swapaxes(1, 2)
    scale = np.where(model.constant, 0.0, 1 / (sd * np.sqrt(model.delta_star)))
    return plain * scale, squares * scale[:, :, None] * scale[:, None]
