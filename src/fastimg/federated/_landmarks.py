"""nyul: the standard intensity scale of all nodes' images, from sums of whole numbers: the pooled one, to the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError, RefusedError
from ..harmonize import Nyul
from ._registry import Done, Parameter, computation
from ._rows import Rows

__all__ = ["nyul"]

_LIMB, _LIMBS = 40, 4  # a sum of landmarks is a whole number of 2^-80; 160 bits hold 2^40 images at a scale of 2^39


def _learner(parameters: dict[str, Any]) -> Nyul:
    low, high = parameters["low"], parameters["high"]
    return Nyul(low=low, high=high, inner=parameters["inner"], scale=tuple(parameters["scale"]))


def _combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    images, patients, flat, broken = total["images"].tolist()
    if not images:
        raise RefusedError("rule min_cases: no image contributes")
    parts = [sum(int(limb) << (_LIMB * i) for i, limb in enumerate(row)) for row in total["sum"]]
    learnt = Nyul.from_dict(_learner(parameters).to_dict() | {"sum": [hex(part) for part in parts], "count": images})
    notes = [
        f"{images} images of {patients} patients contribute; landmarks are summed exactly, to the pooled scale's bits."
    ]
    if flat or broken:
        notes.append(f"{flat} images without contrast or with NaN and {broken} that could not be read were left out.")
    return Done(learnt, notes)


@computation(
    name="nyul",
    version=1,
    parameters={
        "mask": Parameter("name", None),
        "low": Parameter("float", 1.0, low=0, high=100),
        "high": Parameter("float", 99.0, low=0, high=100),
        "inner": Parameter("numbers", [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0], low=0, high=97),
        "scale": Parameter("range", [1.0, 100.0], low=-(2.0**32), high=2.0**32),
        "nan": Parameter("choice", "raise", choices=("raise", "ignore")),
    },
    combine=_combine,
    result="fastimg-nyul",
    discloses="the mean over all images of their percentiles, on a scale on which each image's outer ones are the same",
)
def nyul(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """Nyul & Udupa's standard scale over all nodes' images.

    Parameters: mask (of which the percentiles are; images without it are left out), low, high, inner (percentiles), scale,
    nan, where (one scanner or sequence alone, for a scale of its own). Value: a fitted harmonize.Nyul, the same bits as one
    fitted to the pooled images. Images without contrast, and those that cannot be read, are left out and counted.
    """
    learnt, used, flat = _learner(parameters), [], 0
    for place, array in rows.voxels(parameters["mask"]):
        try:
            learnt.partial_fit(array, nan=parameters["nan"])
        except ArgumentError:
            flat += 1
            continue
        used.append(place)
    patients = rows.contribute([f"voxels of {parameters['mask']}"], used)
    record = learnt.to_dict()
    limbs = np.array([_limbs(int(part, 16)) for part in record["sum"]], np.int64)
    return {"sum": limbs, "images": np.array([record["count"], patients, flat, rows.broken], np.int64)}


def _limbs(part: int) -> list[int]:
    """Its base-2^40 digits, each with the number's sign."""
    sign, rest = (-1 if part < 0 else 1), abs(part)
    return [sign * (rest >> (_LIMB * i) & ((1 << _LIMB) - 1)) for i in range(_LIMBS)]
