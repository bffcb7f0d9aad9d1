"""LongitudinalComBat: several visits of a subject, whose own level is not a site effect."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

from .. import _dispatch
from .._arrays import choice
from ..errors import ArgumentError, FormatError
from ..findings import Finding
from . import _record
from ._combat import ComBat
from ._combat_apply import UnfittedError, refuse_values
from ._design import Design, columns_of, feature_names, labels
from ._mixed import fit_mixed
from ._model import Model, shrunk
from ._regression import kept, occurring
from ._sums import matrix

__all__ = ["LongitudinalComBat"]

FORMAT, VERSION = "fastimg-longitudinal-combat", 1
Array = npt.NDArray[np.float64]


class LongitudinalComBat(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """ComBat for repeated visits: the batches' shift and scale beside a random intercept of each subject.

    Parameters
    ----------
    eb : bool
        Empirical Bayes, as in `ComBat`, iterated until it stands still.
    mean_only : bool
        Remove shifts and leave scales.
    categorical, interactions
        As in `ComBat`. Time is a covariate; ("time", "group") is an interaction.
    variance : {"reml", "residual"}
        The unit of the batches' scale: the residual variance by restricted maximum likelihood, or the mean square of the
        residuals ("MSR": more power, less control of false alarms).

    Attributes
    ----------
    combat_ : ComBat
        Shift and scale of the batches, slopes, variance: of values without their subject's intercept.
    ratio_ : (features,) ndarray
        Variance between subjects over the residual one.
    findings_ : list of Finding

    Notes
    -----
    `transform` takes the intercept of a subject of the fit as it was estimated there, and predicts that of another one
    from its rows in the call (so give all visits at once). A file has no subject's intercept: after `load` all are
    predicted, and the rows of the fit, given together, come out as before. Random slopes are not modelled. `fit` needs all
    rows at once, on the host; `transform` works on either device.

    References
    ----------
    Beer et al., NeuroImage 220:117129 (2020).

    Examples
    --------
    >>> import numpy as np, fastimg as fi
    >>> rng = np.random.default_rng(0)
    >>> subject, visit = np.repeat(np.arange(40), 3), np.tile(np.arange(3.0), 40)
    >>> batch = np.where((np.arange(120) // 2) % 2, "A", "B")
    >>> X = rng.normal(size=(40, 4))[subject] * 3 + rng.normal(size=(120, 4)) + (batch == "A")[:, None]
    >>> longitudinal = fi.harmonize.LongitudinalComBat()
    >>> clean = longitudinal.fit_transform(X, batch=batch, subject=subject, covariates={"visit": visit})
    >>> bool((longitudinal.ratio_ > 4).all())
    True
    """

    def __init__(
        self,
        eb: bool = True,
        mean_only: bool = False,
        *,
        categorical: Sequence[str] = (),
        interactions: Sequence[Sequence[str]] = (),
        variance: Literal["reml", "residual"] = "reml",
    ) -> None:
        self.eb = eb
        self.mean_only = mean_only
        self.categorical = categorical
        self.interactions = interactions
        self.variance = variance

    def fit(self, X: Any, y: Any = None, *, batch: Any, subject: Any, covariates: Any = None) -> Self:
        """Estimate from these rows.

        Parameters
        ----------
        X : array or table, rows x features
        y : ignored
        batch, subject : sequence
            A label a row.
        covariates : table, mapping or array, optional

        Raises
        ------
        ArgumentError
            NaN, a batch of one row, no subject with two rows, covariates that batches and one another explain.
        """
        choice("variance", self.variance, ("reml", "residual"))
        x = matrix(X)
        refuse_values(x, "error")
        names = feature_names(X) or [f"f{i}" for i in range(x.shape[1])]
        rows, columns = labels(batch, "batch", x.shape[0]), columns_of(covariates, x.shape[0])
        design = Design.of(names, rows, columns, tuple(self.categorical), tuple(self.interactions))
        codes, made = design.encode(rows, columns, x.shape[0])
        counts = np.bincount(codes, minlength=len(design.batches)).astype(np.float64)
        alone = [str(label) for label, n in zip(design.batches, counts, strict=True) if n == 1]
        if alone and not self.mean_only:
            raise ArgumentError(f"batch: {', '.join(alone[:5])} has a single row: its scale cannot be estimated")
        people, who = np.unique(np.array(labels(subject, "subject", x.shape[0]), str), return_inverse=True)
        if len(people) == x.shape[0]:
            raise ArgumentError("subject: no subject has two rows; use ComBat")
        host = np.asarray(_dispatch.move(x, "cpu"), np.float64)
        self._fit(design, host, codes, made, counts, who)
        self._people = {person: index for index, person in enumerate(people.tolist())}
        self._small = int((counts < 20).sum())
        return self._named(design)

    def _fit(self, design: Design, x: Array, codes: Any, made: Array, counts: Array, who: Any) -> None:
        squares = np.square(made).sum(0)[None, :, None]
        levels = occurring(design, squares)
        keep = kept(design, levels)
        center = np.where([level is None for _, level in design.columns], made.mean(0), 0.0)
        fixed = np.hstack([np.eye(len(design.batches))[codes], (made - center)[:, keep]])
        size = np.sqrt(np.square(fixed).sum(0))
        if (size == 0).any() or np.linalg.eigvalsh(fixed.T @ fixed / np.outer(size, size))[0] < 1e-10:
            raise ArgumentError("covariates: the batches and one another explain them; they cannot be kept beside both")
        if len(x) <= fixed.shape[1]:
            raise ArgumentError(f"X: {len(x)} rows are too few for {fixed.shape[1]} batches and covariates")
        mixed = fit_mixed(fixed, x, who)
        k = len(design.batches)
        beta = np.zeros((len(design.columns), x.shape[1]))
        beta[keep] = mixed.coefficients[k:]
        level = mixed.coefficients[:k]
        grand = counts @ level / counts.sum()
        rest = x - (made - center) @ beta - mixed.intercepts[who]  # the batches' shifts, and noise
        variance = mixed.variance
        if self.variance == "residual":
            variance = np.square(rest - level[codes] - (rest - level[codes]).mean(0)).mean(0)
        constant = np.ptp(x, axis=0) == 0
        sums = np.stack([rest[codes == j].sum(0) for j in range(k)])
        means = sums / counts[:, None]
        spread = np.stack([np.square(rest[codes == j] - means[j]).sum(0) for j in range(k)])
        estimates = shrunk(
            means, spread, counts[:, None], grand, variance, constant, eb=self.eb, mean_only=self.mean_only
        )
        gamma_hat, delta_hat, gamma, delta, steps = estimates
        model = Model(
            design,
            center,
            np.where(constant, 0.0, grand),
            np.where(constant, 0.0, beta),
            variance,
            gamma_hat,
            delta_hat,
            gamma,
            delta,
            constant,
            counts > 0,
            levels,
            steps,
        )
        self.combat_ = ComBat(
            eb=self.eb, mean_only=self.mean_only, categorical=self.categorical, interactions=self.interactions
        )._holding(model)
        self.ratio_, self._level, self._intercepts = mixed.ratio, level, mixed.intercepts

    def _named(self, design: Design) -> Self:
        self.n_features_in_ = len(design.features)
        if any(name != f"f{i}" for i, name in enumerate(design.features)):
            self.feature_names_in_ = np.array(design.features, object)
        return self

    def transform(self, X: Any, *, batch: Any, subject: Any, covariates: Any = None) -> Any:
        """Remove the batch effects; parameters as in `fit`, result and errors as in `ComBat.transform`."""
        if not self.__sklearn_is_fitted__():
            raise UnfittedError("LongitudinalComBat: this estimator is not fitted")
        x = matrix(X, tuple(self.combat_.design_.features))
        refuse_values(x, "error")
        if self.combat_._is_single():
            return self.combat_.transform(x, batch=batch, covariates=covariates)
        own = _dispatch.move(self._own(x, batch, subject, covariates), _dispatch.device(x)).astype(x.dtype)
        return self.combat_.transform(x - own, batch=batch, covariates=covariates) + own

    def _own(self, x: Any, batch: Any, subject: Any, covariates: Any) -> Array:
        """The intercept of each row's subject: of the fit, or predicted from its rows here."""
        model = self.combat_.model_
        codes, columns = model.design.encode(batch, covariates, x.shape[0])
        people, who = np.unique(np.array(labels(subject, "subject", x.shape[0]), str), return_inverse=True)
        host = np.asarray(_dispatch.move(x, "cpu"), np.float64)
        rest = host - (columns - model.covariate_center) @ model.beta - self._level[codes]
        count = np.bincount(who).astype(np.float64)[:, None]
        total = np.zeros((len(people), x.shape[1]))
        np.add.at(total, who, rest)
        found = self.ratio_ * total / (1 + self.ratio_ * count)
        for index, person in enumerate(people.tolist()):
            if person in self._people:
                found[index] = self._intercepts[self._people[person]]
        found[:, model.constant] = 0.0
        return np.asarray(found[who])

    def fit_transform(self, X: Any, y: Any = None, *, batch: Any, subject: Any, covariates: Any = None) -> Any:
        """`fit` and `transform` of the same rows. `y` is ignored."""
        self.fit(X, batch=batch, subject=subject, covariates=covariates)
        return self.transform(X, batch=batch, subject=subject, covariates=covariates)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "combat_")

    @property
    def findings_(self) -> list[Finding]:
        """What to know of this fit."""
        found = list(self.combat_.findings_)
        small: int = getattr(self, "_small", 0)
        if small:
            found.append(Finding("combat-small-batch", f"{small} batches have fewer than 20 rows."))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Estimates as plain values for JSON, without subjects."""
        if not self.__sklearn_is_fitted__():
            raise UnfittedError("LongitudinalComBat: this estimator is not fitted")
        return {
            "format": FORMAT,
            "version": VERSION,
            "variance": self.variance,
            "combat": self.combat_.to_dict(),
            "ratio": self.ratio_.tolist(),
            "level": self._level.tolist(),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """The inverse of `to_dict`: an estimator that transforms.

        Raises FormatError where `record` is no such record or damaged.
        """
        if record.get("format") != FORMAT:
            raise FormatError(f"LongitudinalComBat.from_dict: not a {FORMAT} record")
        _record.refuse_newer("LongitudinalComBat", record.get("version"), VERSION)
        try:
            combat = ComBat.from_dict(record["combat"])
            self = cls(
                combat.eb,
                combat.mean_only,
                categorical=combat.categorical,
                interactions=combat.interactions,
                variance=record["variance"],
            )
            k, p = len(combat.design_.batches), len(combat.design_.features)
            self.ratio_ = np.array(record["ratio"], np.float64).reshape(p)
            self._level = np.array(record["level"], np.float64).reshape(k, p)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"LongitudinalComBat.from_dict: the record is damaged: {error}") from None
        self.combat_, self._people, self._intercepts = combat, {}, np.zeros((0, p))
        return self._named(combat.design_)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the estimates as a JSON file (format fastimg-longitudinal-combat). `path` is replaced."""
        _record.write(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; a newer version is refused.

        Errors as in `LongitudinalComBat.from_dict`; `path` is the file.
        """
        return cls.from_dict(_record.read(path, "LongitudinalComBat"))
