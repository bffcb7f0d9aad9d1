"""The file of a fitted ComBat: JSON, format fastimg-combat. Version 2 added terms, splines and scales; 1 is read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..errors import ArgumentError, FormatError
from ._design import Design
from ._model import Model
from ._monotone import Scale

__all__ = ["FORMAT", "OPTIONS", "VERSION", "Recorded", "estimates", "model_of", "read", "refuse_newer", "write"]

FORMAT, VERSION = "fastimg-combat", 2
OPTIONS = ("parametric", "eb", "mean_only", "reference", "categorical", "missing", "monotone")
_LATER = {"interactions": (), "smooth": (), "robust": None}  # options of version 2 and their values before
_ARRAYS = ("covariate_center", "mean", "beta", "var", "gamma_hat", "delta_hat", "gamma_star", "delta_star")
_FLAGS = ("constant", "known", "levels")


def estimates(model: Model, scale: Scale) -> dict[str, Any]:
    """The estimates as plain values."""
    return {
        "design": model.design.to_dict(),
        "steps": model.steps,
        "scale": scale.to_list(),
        **{name: getattr(model, name).tolist() for name in (*_ARRAYS, *_FLAGS)},
    }


def model_of(record: dict[str, Any]) -> tuple[dict[str, Any], Model, Scale]:
    """(options, estimates, scale) of a record whose format is checked here."""
    if record.get("format") != FORMAT:
        raise FormatError(f"ComBat: not a {FORMAT} record")
    refuse_newer("ComBat", record.get("version"), VERSION)
    try:
        options = {name: record["options"][name] for name in OPTIONS}
        options |= {name: record["options"].get(name, before) for name, before in _LATER.items()}
        design = Design.from_dict(record["design"])
        q, k, p = len(design.columns), len(design.batches), len(design.features)
        shapes: dict[str, tuple[int, ...]] = {"mean": (p,), "var": (p,), "beta": (q, p), "constant": (p,)}
        shapes |= {"known": (k,), "levels": (q,), "covariate_center": (q,)}
        fields: dict[str, Any] = {}
        for name in (*_ARRAYS, *_FLAGS):
            kind = np.bool_ if name in _FLAGS else np.float64
            fields[name] = np.array(record[name], kind).reshape(shapes.get(name, (k, p)))
        model = Model(design=design, steps=int(record["steps"]), **fields)
        scale = Scale.from_list(options["monotone"], record.get("scale", ()), p)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"ComBat: the record is damaged: {error}") from None
    return options, model, scale


def refuse_newer(what: str, version: Any, newest: int) -> None:
    """Versions from 1 to `newest` are read."""
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= newest:
        raise FormatError(f"{what}: version {version!r} of the record is not among 1 to {newest}; update fastimg")


def write(path: str | os.PathLike[str], record: dict[str, Any]) -> None:
    """One JSON object in a file."""
    Path(path).write_text(json.dumps(record, allow_nan=False))


def read(path: str | os.PathLike[str], what: str) -> dict[str, Any]:
    """What `write` wrote."""
    try:
        record = json.loads(Path(path).read_text())
    except ValueError as error:
        raise FormatError(f"{what}.load: not a JSON file: {error}") from None
    if not isinstance(record, dict):
        raise FormatError(f"{what}.load: not a record of fastimg")
    return record


class Recorded:
    """`to_dict`, `save` and their inverses for an estimator with one `Model` and one `Scale`."""

    def to_dict(self: Any) -> dict[str, Any]:
        """Options and estimates as plain values for JSON; the sums are not among them."""
        model = self.model_
        options = {name: getattr(self, name) for name in OPTIONS}
        options |= {
            "categorical": list(self.categorical),
            "interactions": [list(names) for names in self.interactions],
            "smooth": list(model.design.splines),
            "robust": self.robust,
        }
        head = {"format": FORMAT, "version": VERSION, "options": options}
        return head | estimates(model, self._scale)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """The inverse of `to_dict`: an estimator that transforms; its sums are gone, so it cannot be added to.

        Raises FormatError where `record` is no such record or damaged.
        """
        options, model, scale = model_of(record)
        try:
            self: Any = cls(**(options | {"smooth": dict(model.design.splines)}))
            self._check_options()
        except (TypeError, ValueError) as error:
            raise FormatError(f"ComBat.from_dict: the record is damaged: {error}") from None
        self._scale = scale
        held: Self = self._hold(model)
        return held

    def save(self: Any, path: str | os.PathLike[str]) -> None:
        """Write the estimates as a JSON file (format fastimg-combat, see `to_dict`).

        Raises ArgumentError for a fit of one batch, which has none to write to `path`.
        """
        if self._is_single():
            raise ArgumentError("ComBat.save: a fit of one batch has no estimates")
        write(path, self.to_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; a newer version is refused. Errors as in `ComBat.from_dict`; `path` is the file."""
        return cls.from_dict(read(path, "ComBat"))
