"""Every valued row of IBSI 2, phase 2: statistics of filtered CT, slice by slice (A) and in three dimensions (B)."""

from __future__ import annotations

import csv
from functools import cache

import numpy as np
import pytest

import fastimg as fi
from fastimg.radiomics import Settings, extract

from ..conftest import folder_of

FOLDER = folder_of("FASTIMG_REFERENCE", "reference")
ANGLES = [22.5 * n for n in range(16)]
GABOR = {"filter": "gabor", "sigma_mm": 5, "gamma": 1.5, "wavelength_mm": 2, "theta": ANGLES, "pooling": "mean"}
FILTERS = {
    "1.A": None,
    "1.B": None,
    "2.A": {"filter": "mean", "size": 5, "plane": True},
    "2.B": {"filter": "mean", "size": 5},
    "3.A": {"filter": "laplacian_of_gaussian", "sigma_mm": 1.5, "plane": True},
    "3.B": {"filter": "laplacian_of_gaussian", "sigma_mm": 1.5},
    "4.A": {"filter": "laws", "kernels": "L5E5", "rotation_invariant": True, "energy": 7},
    "4.B": {"filter": "laws", "kernels": "L5E5E5", "rotation_invariant": True, "energy": 7},
    "5.A": GABOR,
    "5.B": {**GABOR, "rotation_invariant": True},
    "6.A": {"filter": "wavelet", "family": "db3", "bands": "LH", "rotation_invariant": True},
    "6.B": {"filter": "wavelet", "family": "db3", "bands": "LLH", "rotation_invariant": True},
    "7.A": {"filter": "wavelet", "family": "db3", "bands": "HH", "level": 2, "rotation_invariant": True},
    "7.B": {"filter": "wavelet", "family": "db3", "bands": "HHH", "level": 2, "rotation_invariant": True},
    "8.A": {"filter": "simoncelli", "level": 1, "plane": True},
    "8.B": {"filter": "simoncelli", "level": 1},
    "9.A": {"filter": "simoncelli", "level": 2, "plane": True},
    "9.B": {"filter": "simoncelli", "level": 2},
}


def rows():
    path = None if FOLDER is None else FOLDER / "ibsi2" / "ibsi2_phase2_feature_reference_values.csv"
    if path is None or not path.is_file():
        return []
    with open(path, newline="") as file:
        return [row for row in csv.DictReader(file, delimiter=";") if row["consensus_value"]]


ROWS = rows()


@cache
def phantom():
    nibabel = pytest.importorskip("nibabel")
    folder = FOLDER / "ibsi2" / "ct_phantom"
    image, mask = (nibabel.load(folder / part) for part in ("image/phantom.nii.gz", "mask/mask.nii.gz"))
    spacing = [round(float(step), 6) for step in image.header.get_zooms()[::-1]]
    array, inside = (np.ascontiguousarray(np.asarray(part.dataobj).T) for part in (image, mask))
    return fi.Image(array, spacing=spacing, unit="HU"), inside.astype(np.uint8)


@cache
def features(name):
    options = FILTERS[name]
    chain = {"resegment": (-1000, 400), "families": ["statistics"], "bin_number": 32}
    if name.endswith("B"):
        chain |= {"spacing": (1, 1, 1), "order": "cubic", "round_intensities": True}
    images = {"Original": {}} if options is None else {"f": options}
    found = extract(*phantom(), Settings(images=images, **chain), names="ibsi")
    return {tag.removeprefix("f_"): value for tag, value in found.items()}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['filter_id']}-{row['feature_tag']}")
def test_row(row):
    found = features(row["filter_id"])[row["feature_tag"]]
    rounded = float(f"{found:.3g}")  # the reference's precision, then its tolerance
    value, tolerance = float(row["consensus_value"]), float(row["tolerance"])
    assert abs(rounded - value) <= tolerance * (1 + 1e-9), f"{found} for {value} +- {tolerance}"


def test_all_rows_are_here(reference):
    assert reference == FOLDER
    assert len(ROWS) == 323
    assert {row["filter_id"] for row in ROWS} == set(FILTERS)
