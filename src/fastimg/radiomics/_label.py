"""The region in a mask: its channel, its label, its box."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from .. import _dispatch
from .._arrays import native
from ..errors import ArgumentError
from . import _native
from ._settings import Settings

__all__ = ["bounding_box", "channel_of", "labelled"]

Array = npt.NDArray[Any]


def channel_of(labels: Any, settings: Settings) -> Any:
    """The part of a mask that `label_channel` names, where it has a leading axis."""
    if labels.ndim != 4:
        return labels
    channel, count = settings.label_channel, labels.shape[0]
    if channel is None:
        raise ArgumentError(f"radiomics: the mask has {count} channels; choose one with Settings(label_channel=...)")
    if channel >= count:
        raise ArgumentError(f"radiomics: label_channel is {channel}, and the mask has {count} channels, from 0 on")
    return labels[channel]


def labelled(labels: Array, label: int | None) -> tuple[int, tuple[slice, slice, slice], npt.NDArray[np.bool_]]:
    """How many voxels have the label, their box, and where in it."""
    if labels.dtype == np.bool_ and label not in (None, 1):
        raise ArgumentError(f"radiomics: a mask of booleans has only the label 1, not {label}")
    kept = labels
    if labels.dtype.kind == "f":  # NaN is a label as good as any; none but whole ones can be asked for
        kept = labels != 0 if label is None else labels == label
        highest = labels.max() or labels.min()
        if label is None and np.count_nonzero(kept) != np.count_nonzero(labels == highest):
            _several(labels)
        label = None
    if _dispatch.device(labels) != "cpu":
        return _labelled_there(kept, label)
    count, (z, z_end, y, y_end, x, x_end), found, several = _native.find_region(
        native(kept), label is None, label or 0, 0
    )
    if label is None and several:
        _several(labels)
    if count == 0:
        _none(labels, label)
    box = (slice(z, z_end), slice(y, y_end), slice(x, x_end))
    return count, box, np.ascontiguousarray(kept[box] == found)


def _labelled_there(labels: Any, label: int | None) -> tuple[int, tuple[slice, slice, slice], Any]:
    """As `labelled`, on a GPU."""
    selected = labels != 0 if label is None else labels == label
    if label is None:
        highest = labels.max() or labels.min()
        if (selected & (labels != highest)).any():
            _several(labels)
    count = int(selected.sum())
    if count == 0:
        _none(labels, label)
    box = bounding_box(selected)
    return count, box, _dispatch.namespace(labels).ascontiguousarray(selected[box])


def _none(labels: Any, label: int | None) -> NoReturn:
    present = ", ".join(f"{value:g}" for value in np.unique(_dispatch.move(labels, "cpu"))[:10] if value)
    wanted = "" if label is None else f" with label {label}"
    raise ArgumentError(f"radiomics: the mask has no voxel{wanted}; labels in it: {present or 'none'}")


def _several(labels: Any) -> NoReturn:
    labels = _dispatch.move(labels, "cpu")
    found = ", ".join(f"{value:g}" for value in np.unique(labels[labels != 0])[:10])
    if not found:
        _none(labels, None)
    raise ArgumentError(f"radiomics: the mask holds the labels {found}; choose one with Settings(label=...)")


def bounding_box(selected: Any) -> tuple[slice, slice, slice]:
    """The smallest box around the True voxels, of which there is at least one."""
    if _dispatch.device(selected) != "cpu":
        edges = []
        for axis in range(3):
            others = tuple(other for other in range(3) if other != axis)
            some = np.flatnonzero(_dispatch.move(selected.any(axis=others), "cpu"))
            edges.append(slice(int(some[0]), int(some[-1]) + 1))
        return edges[0], edges[1], edges[2]
    _, (z, z_end, y, y_end, x, x_end), _, _ = _native.find_region(native(selected), True, 0, 0)
    return slice(z, z_end), slice(y, y_end), slice(x, x_end)
