"""Computations: named, versioned, typed, installed beforehand. No code travels."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from importlib.metadata import entry_points
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ArgumentError, FastimgError, RefusedError
from ._results import Shape, declared
from ._rows import Rows

__all__ = ["Computation", "Done", "Labels", "Parameter", "computation", "find", "registered", "stated"]

GROUP = "fastimg.computations"
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_COLUMN = re.compile(r"[^\x00-\x1f]{1,128}")
_REGISTRY: dict[str, Computation] = {}
_loaded = False
_LOADING = threading.RLock()
_SHIPPED = (
    *("_combat", "_landmarks", "_learning", "_models", "_moments", "_quantiles", "_site_report", "_summaries"),
    *("_survival", "_tables", "_tools"),
)


@dataclass(frozen=True, slots=True)
class Done:
    """What a `combine` returns when the computation is over; notes are sentences for `Result.privacy`.

    Attributes
    ----------
    value : object
        The answer, `Result.value`.
    notes : sequence of str
        What this answer discloses. Default: none.
    """

    value: Any
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Labels:
    """What a `local` returns to agree on categories: column -> its values, in the open.

    Leave out those that fewer patients than `rows.minimum` carry.

    Attributes
    ----------
    of : dict of str to list
        The values of each column.
    """

    of: dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter's schema.

    Parameters
    ----------
    kind : "int", "float", "bool", "name", "names", "names1", "range", "numbers", "choice", "arrays", "levels", "products",
        "splines" or "where"
        names: a list, may be empty (names1: not); range: two rising numbers; numbers: a rising list; choice: one of
        `choices`; arrays: {name: numbers}; levels: {column: [labels]}; products: lists of two names or more; splines:
        {column: what harmonize.Spline takes}; where: {column: value or list of values}.
    default : value, optional
        None makes it optional; left out, the parameter must be given.
    low, high : number, optional
        For int and float; for lists and arrays, their most entries in `high`.
    choices : tuple
        For choice.
    """

    kind: str
    default: Any = ...
    low: float = -1e308
    high: float = 1e308
    choices: tuple[Any, ...] = ()

    def check(self, name: str, value: Any) -> Any:
        """The value in its plain form.

        `name` stands in the ArgumentError that a `value` of another kind, or out of bounds, raises.
        """
        if value is None and self.default is None:
            return None
        checker = _CHECKS.get(self.kind)
        if checker is None:
            raise ArgumentError(f"parameters: unknown kind {self.kind!r}")
        try:
            return checker(self, value)
        except (TypeError, ValueError, AttributeError):
            raise ArgumentError(f"{name}: must be {_WORDS[self.kind]}{self._bounds()}") from None

    def _bounds(self) -> str:
        if self.choices:
            return f": {', '.join(map(str, self.choices))}"
        return f", {self.low:g} to {self.high:g}" if self.kind in ("int", "float") and self.low > -1e308 else ""


def _int(p: Parameter, value: Any) -> int:
    if isinstance(value, bool) or int(value) != value or not p.low <= value <= p.high:
        raise ValueError
    return int(value)


def _float(p: Parameter, value: Any) -> float:
    if isinstance(value, (bool, str)) or not p.low <= float(value) <= p.high:
        raise ValueError
    return float(value)


def _bool(p: Parameter, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _name(p: Parameter, value: Any) -> str:
    if not isinstance(value, str) or not _COLUMN.fullmatch(value):
        raise ValueError
    return value


def _names(p: Parameter, value: Any) -> list[str]:
    if isinstance(value, str) or len(value) > min(p.high, 100_000) or len(set(value)) != len(value):
        raise ValueError
    return [_name(p, item) for item in value]


def _names1(p: Parameter, value: Any) -> list[str]:
    if not len(value):
        raise ValueError
    return _names(p, value)


def _range(p: Parameter, value: Any) -> list[float]:
    low, high = (_float(p, item) for item in value)
    if not low < high:
        raise ValueError
    return [low, high]


def _numbers(p: Parameter, value: Any) -> list[float]:
    found = [_float(Parameter("float", low=p.low), item) for item in value]
    if not found or len(found) > p.high or any(a >= b for a, b in pairwise(found)):
        raise ValueError
    return found


def _choice(p: Parameter, value: Any) -> Any:
    if value not in p.choices:
        raise ValueError
    return value


def _arrays(p: Parameter, value: Any) -> dict[str, Any]:
    found = {}
    for name, item in value.items():
        array = np.asarray(item)
        if array.dtype.kind not in "iufb" or not np.isfinite(array).all():
            raise ValueError
        found[_name(p, name)] = array.astype(np.float64)
    if sum(array.size for array in found.values()) > p.high:
        raise ValueError
    return found


def _levels(p: Parameter, value: Any) -> dict[str, list[str]]:
    return {_name(p, column): _names1(p, labels) for column, labels in value.items()}


def _products(p: Parameter, value: Any) -> list[list[str]]:
    found = [_names1(Parameter("names1", high=8), names) for names in value]
    if isinstance(value, str) or len(found) > p.high or any(len(names) < 2 for names in found):
        raise ValueError
    return found


def _splines(p: Parameter, value: Any) -> dict[str, dict[str, Any]]:
    from ..harmonize import Spline

    found = {_name(p, column): Spline(**record).to_dict() for column, record in value.items()}
    if len(found) > p.high or sum(len(record["inner"]) for record in found.values()) > 1000:
        raise ValueError
    return found


def _where(p: Parameter, value: Any) -> dict[str, Any]:
    found = {}
    for column, wanted in value.items():
        items = wanted if isinstance(wanted, (list, tuple)) else [wanted]
        if not items or len(items) > 10_000 or any(not isinstance(i, (str, int, float, bool)) for i in items):
            raise ValueError
        found[_name(p, column)] = list(items)
    return found


_CHECKS: dict[str, Callable[[Parameter, Any], Any]] = {
    "int": _int,
    "float": _float,
    "bool": _bool,
    "name": _name,
    "names": _names,
    "names1": _names1,
    "range": _range,
    "numbers": _numbers,
    "choice": _choice,
    "arrays": _arrays,
    "levels": _levels,
    "products": _products,
    "splines": _splines,
    "where": _where,
}
_WORDS = {
    "int": "a whole number",
    "float": "a finite number",
    "bool": "true or false",
    "name": "the name of a column",
    "names": "a list of different names",
    "names1": "a list of different names, at least one",
    "range": "two rising numbers",
    "numbers": "a list of rising numbers",
    "choice": "one of the values it may have",
    "arrays": "a mapping of names to finite arrays",
    "levels": "a mapping of columns to lists of labels",
    "products": "a list of lists of different names, at least two each",
    "splines": "a mapping of columns to low, high and, if wished, inner knots, degree and penalty",
    "where": "a mapping of columns to values",
}

Local = Callable[[Rows, dict[str, Any], dict[str, Any]], "dict[str, Any] | Labels"]
Combine = Callable[[Any, dict[str, Any], dict[str, Any]], "dict[str, Any] | Done"]


@dataclass(frozen=True, slots=True)
class Computation:
    """A registered computation; see `computation`."""

    name: str
    version: int
    parameters: Mapping[str, Parameter]
    local: Local
    combine: Combine | None
    discloses: str
    doc: str = ""
    every_state: bool = False
    counts: tuple[str, ...] = ()
    result: Shape | None = None

    def check(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters in plain form; unknown, missing and wrong ones are an ArgumentError."""
        for name in given:
            if name not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                raise ArgumentError(f"{self.name}: unknown parameter {name!r}; it takes {known}")
        checked = {}
        for name, schema in self.parameters.items():
            if name not in given and schema.default is ...:
                raise ArgumentError(f"{self.name}: parameter {name!r} is needed")
            checked[name] = schema.check(name, given.get(name, schema.default))
        return checked


def computation(
    *,
    name: str,
    version: int = 1,
    parameters: Mapping[str, Parameter] | None = None,
    combine: Combine | None = None,
    discloses: str = "the sums over all nodes",
    every_state: bool = False,
    counts: Sequence[str] = (),
    result: Shape | None = None,
) -> Callable[[Local], Local]:
    """Register the decorated function as what a node computes in one round.

    Parameters
    ----------
    name : str
        Lower-case letters, digits, _ . -
    version : int
        Raised when parameters or results change their meaning.
    parameters : mapping of name to Parameter, optional
        Every computation also takes `where`.
    combine : callable, optional
        combine(total, parameters, shared) -> `Done(value)` or the state shared with the nodes in the next round (plain
        values and arrays). Without it there is one round and its sums are the value.
    discloses : str
        One sentence: what leaves the federation. It stands in `Result.privacy`.
    every_state : bool
        Also the cases that were set aside take part (for questions about quality).
    counts : sequence of str
        Which of the arrays are counts that a policy may round or blur. A computation without any is not blurred: a policy
        that blurs still decides by name whether it may be run.
    result : mapping of name to kind, or str, optional
        What `Done.value` holds: "integer", "number", "string", "array" or "object", several as in "integer|array", and "?" at
        the end where it may be left out; or the format's name of a fitted model (its `to_dict()["format"]`). Another value is
        an error at the hub; `describe` shows it as JSON Schema.

    Returns
    -------
    decorator
        It gives back the function.

    Raises
    ------
    ArgumentError
        A name or version that is not allowed, or that is registered already.

    Notes
    -----
    The function is local(rows, parameters, shared) -> {name: array}: whole numbers or floats, of shapes that depend on
    parameters and shared state alone; or `Labels`. Entry points of the group "fastimg.computations" are imported when a
    name is looked up, so that an installed package registers its own.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ArgumentError("computation: name must match [a-z][a-z0-9_.-]{0,63}")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ArgumentError("computation: version must be a whole number from 1")
    shape = declared(result)
    schema = {**(parameters or {}), "where": Parameter("where", None)}

    def register(local: Local) -> Local:
        before = _REGISTRY.get(name)
        if before is not None and before.local.__module__ != local.__module__:
            raise ArgumentError(f"computation: {name!r} is registered already by {before.local.__module__}")
        doc = (local.__doc__ or "").strip()
        _REGISTRY[name] = Computation(
            name, version, schema, _guarded(local), combine, discloses, doc, every_state, tuple(counts), shape
        )
        return local

    return register


def _guarded(local: Local) -> Local:
    """A hub may lie about what earlier rounds gave: what does not fit is refused, like everything else that comes from it."""

    @wraps(local)
    def run(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any] | Labels:
        try:
            return local(rows, parameters, shared)
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            if not shared or isinstance(error, FastimgError):
                raise
            raise RefusedError("rule shared: what earlier rounds are said to have given does not fit") from error

    return run


def stated(value: Any, *shape: int) -> npt.NDArray[np.float64]:
    """An array of the shared state, of the shape that the computation gives it: NumPy would broadcast a number for every row,
    with which a hub could weigh one row's values against the others'."""
    array = np.asarray(value, np.float64)
    if array.shape != shape:
        raise RefusedError("rule shared: what earlier rounds are said to have given does not fit")
    return array


def registered() -> dict[str, Computation]:
    """All computations by name."""
    global _loaded
    with _LOADING:  # other threads wait; what is being imported may itself come here
        if not _loaded:
            _loaded = True
            try:
                for module in _SHIPPED:
                    import_module(f".{module}", __package__)
                for entry in entry_points(group=GROUP):
                    entry.load()
            except BaseException:
                _loaded = False
                raise
        return dict(_REGISTRY)


def find(name: str) -> Computation:
    """A computation by name."""
    known = registered()
    if name not in known:
        raise ArgumentError(f"computation {name!r} is not installed; known are {', '.join(sorted(known))}")
    return known[name]
