"""Formula: covariates written as a formula, on this machine alone. What travels is columns and products of columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, MissingError
from ._design import table

__all__ = ["Formula"]

_PLAIN = ("lookup", "literal")


class Formula:
    """Covariates by a formula of the formulaic package, such as ``age * sex + C(stage)``.

    A formula may call any Python function when it is evaluated. So it is never part of a `Design`, a file or a message,
    and must not come from somebody else: of a formula without functions `interactions`, `categorical` and `names` are a
    typed list, which may travel; one with functions (``log(age)``, ``bs(age, 4)``) is evaluated here by `columns`.

    Parameters
    ----------
    text : str
        The right-hand side. The intercept is ComBat's own.

    Raises
    ------
    ArgumentError
        The text is no formula, or has a left-hand side.
    MissingError
        formulaic is not installed (extra `formula`).

    Examples
    --------
    With the extra "formula":

    >>> from fastimg.harmonize import Formula
    >>> formula = Formula("age * sex + C(stage)")  # doctest: +SKIP
    >>> formula.names, formula.interactions, formula.categorical  # doctest: +SKIP
    (('age', 'sex', 'stage'), (('age', 'sex'),), ('stage',))
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            import formulaic
        except ImportError:
            raise MissingError("Formula: needs formulaic; pip install 'fastimg[formula]'") from None
        try:
            self._formula = formulaic.Formula(text)
        except Exception as error:
            raise ArgumentError(f"Formula: {text!r} cannot be parsed: {type(error).__name__}") from None
        if not hasattr(self._formula, "__iter__") or hasattr(self._formula, "lhs"):
            raise ArgumentError("Formula: only a right-hand side is meant: no ~ with something before it")
        self._spec: Any = None

    def _terms(self) -> list[tuple[str, ...]]:
        """Each term as names of columns; C(x) is x."""
        found = []
        for term in self._formula:
            names = []
            for factor in term.factors:
                text = str(factor).strip()
                if text in ("1", "0"):
                    continue
                inner = text[2:-1].strip() if text.startswith("C(") and text.endswith(")") else text
                if str(factor.eval_method.value) == "lookup" or inner.isidentifier():
                    names.append(inner.strip("`"))
                else:
                    raise ArgumentError(f"Formula: {text!r} is a function, which does not travel; use columns() here")
            if names:
                found.append(tuple(names))
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that the formula names, in its order."""
        return tuple(dict.fromkeys(name for names in self._terms() for name in names))

    @property
    def interactions(self) -> tuple[tuple[str, ...], ...]:
        """Products, for `ComBat(interactions=)` and `Design`. Each column in one must stand on its own too.

        Raises ArgumentError where one does not.
        """
        terms = self._terms()
        found = tuple(names for names in terms if len(names) > 1)
        missing = {name for names in found for name in names} - {names[0] for names in terms if len(names) == 1}
        if missing:
            raise ArgumentError(
                f"Formula: {', '.join(sorted(missing))} stands in a product but not on its own; write a * b for a + b + a:b"
            )
        return found

    @property
    def categorical(self) -> tuple[str, ...]:
        """Columns marked C(...), for `ComBat(categorical=)`."""
        factors = [str(factor).strip() for term in self._formula for factor in term.factors]
        return tuple(dict.fromkeys(text[2:-1].strip() for text in factors if text.startswith("C(")))

    def columns(self, covariates: Any) -> dict[str, npt.NDArray[np.float64]]:
        """The formula's values as numeric covariates, evaluated here: it runs what the formula calls.

        Encodings and knots are those of the first table that came; later ones follow them. Raises ArgumentError where
        `covariates` is no table.
        """
        columns = table(covariates)
        if columns is None:
            raise ArgumentError("Formula.columns: expected a table or a mapping of columns")
        import pandas

        frame = pandas.DataFrame({name: np.asarray(column) for name, column in columns.items()})
        made = self._formula.get_model_matrix(frame) if self._spec is None else self._spec.get_model_matrix(frame)
        self._spec = made.model_spec
        return {str(n): np.asarray(made[n], np.float64) for n in made.columns if n != "Intercept"}
