"""napari's reader: a case of a cohort with its masks, a folder of DICOM or one DICOM file. It needs no package of napari's.

The manifest is fastimg/napari.yaml, found through the entry point `napari.manifest`; napari then offers fastimg for such a
folder, in its window and in `viewer.open(path, plugin="fastimg")`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import dicom
from ..cohort import Case, Cohort
from ..errors import FastimgError, GeometryError
from ..image import Image
from ._optional import host_array

__all__ = ["get_reader", "layer"]

_MAGIC = 128  # bytes before DICM (PS3.10, 7.1)
_LOOKED_AT = 200  # files of a folder in which the first DICOM file must be


def get_reader(path: str | list[str]) -> Callable[[Any], list[tuple[Any, dict[str, Any], str]]] | None:
    """What reads a path, or None: the contract of napari's readers (npe2, command `fastimg.read`).

    Parameters
    ----------
    path : str or list of str
        COHORT/cases/CASE, a folder that holds DICOM files, or a DICOM file; a list of files of one series.

    Returns
    -------
    callable or None
        path -> list of (array, options of the layer, "image" or "labels").
    """
    paths = [Path(os.fspath(one)) for one in (path if isinstance(path, list) else [path])]
    if len(paths) == 1 and _place_of(paths[0]) is not None:
        return _read_case
    if paths and all(one.is_file() and _is_dicom(one) for one in paths):
        return _read_files
    if len(paths) == 1 and paths[0].is_dir() and _holds_dicom(paths[0]):
        return _read_folder
    return None


def layer(image: Image, name: str, kind: str = "image") -> tuple[Any, dict[str, Any], str]:
    """An Image as napari's layer: array, options, kind.

    Parameters
    ----------
    image : Image
        On the CPU. Colour (3 or 4 along an axis "colour") becomes napari's rgb.
    name : str
        Of the layer.
    kind : {"image", "labels"}

    Returns
    -------
    (array, dict, str)
        napari's world has the array's order, so that its affine maps (k, j, i) to LPS mm as (z, y, x); leading axes keep
        their indices.
    """
    array = host_array(image, "napari.layer")
    lead = list(image.dims[:-3])
    options: dict[str, Any] = {"name": name}
    if kind == "image" and "colour" in lead and array.shape[lead.index("colour")] in (3, 4):
        array = np.moveaxis(array, lead.index("colour"), -1)
        lead.remove("colour")
        options["rgb"] = True
    rank = len(lead) + 3
    affine = np.eye(rank + 1)
    affine[-4:-1, -4:] = image.affine[2::-1]  # rows z, y, x
    options["affine"] = affine
    if kind == "labels":
        options["opacity"] = 0.4
    return array, options, kind


def _place_of(path: Path) -> tuple[Path, str] | None:
    """(cohort, name of the case) of a case's folder or of what lies in it."""
    for folder in (path, *path.absolute().parents[:2]):
        if folder.parent.name == "cases" and (folder.parent.parent / "cohort.json").is_file():
            return folder.parent.parent, folder.name
    return None


def _read_case(path: Any) -> list[tuple[Any, dict[str, Any], str]]:
    place = _place_of(Path(path[0] if isinstance(path, list) else path))
    if place is None:
        raise FastimgError("napari: this folder is no longer a case of a cohort")
    case: Case = Cohort.open(place[0])[place[1]]
    layers = [layer(case.image(), case.case_id)]
    for name, mask in case.masks().items():
        layers.append(layer(mask, name, "labels"))
    return layers


def _read_files(path: Any) -> list[tuple[Any, dict[str, Any], str]]:
    files = [Path(one) for one in (path if isinstance(path, list) else [path])]
    image = dicom.read(files if len(files) > 1 else files[0])
    return [layer(image, "DICOM")]


def _read_folder(path: Any) -> list[tuple[Any, dict[str, Any], str]]:
    folder = Path(path[0] if isinstance(path, list) else path)
    layers, why = [], []
    for number, series in enumerate(s for s in dicom.series(folder) if s.kind == "image"):
        try:
            layers.append(layer(dicom.read(series), f"{series.modality} {number + 1}"))
        except FastimgError as error:
            why.append(str(error))
    if not layers:
        raise GeometryError("napari: no series of this folder can be read" + "".join(f"; {words}" for words in why))
    return layers


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(_MAGIC + 4)[_MAGIC:] == b"DICM"
    except OSError:
        return False


def _holds_dicom(folder: Path) -> bool:
    looked = 0
    for where, _, names in os.walk(folder):
        for name in sorted(names):
            if _is_dicom(Path(where, name)):
                return True
            looked += 1
            if looked >= _LOOKED_AT:
                return False
    return False
