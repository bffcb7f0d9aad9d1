"""Every valued row of the IBSI-1 tables on the digital phantom; the tables are read where they lie, never copied."""

from __future__ import annotations

import csv
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi

FOLDER = (
    Path(os.environ.get("FASTIMG_REFERENCE", Path(__file__).resolve().parents[3] / "shared" / "reference")) / "ibsi1"
)
TABLE = FOLDER / "ibsi1_reference_values.csv"
LINES = TABLE.read_text(encoding="utf-8").splitlines() if TABLE.is_file() else []
ROWS = [row for row in csv.DictReader(LINES) if row["value"]]
PHANTOM = [row for row in ROWS if row["dataset"] == "digital_phantom"]
# Families without directions have one matrix a dimension; the others a value for each way of merging.
ANY = {"": "3D, averaged", "2D": "2D, averaged", "2.5D": "2.5D, merged", "3D": "3D, averaged"}


def agrees(value: float, row: dict[str, str]) -> bool:
    """The tables' rule: three significant digits, then the tolerance."""
    expected, tolerance = float(row["value"]), float(row["tolerance"])
    return abs(float(f"{value:.2e}") - expected) <= tolerance + 1e-9 * abs(expected)


def measure(accuracy, dataset: str, value: float, row: dict[str, str]) -> None:
    """A value beside the table's, in its tolerances, which are 0 where all teams had the same digits."""
    room = float(row["tolerance"]) or 0.005 * abs(float(row["value"])) or 1.0
    accuracy(
        f"radiomics, IBSI 1, {dataset}",
        "IBSI tables",
        float(f"{value:.2e}"),
        float(row["value"]),
        of="tolerance, or half of the third digit",
        scale=room,
    )


@cache
def features(aggregation):
    nibabel = pytest.importorskip("nibabel")
    image, mask = (
        nibabel.load(FOLDER / "digital_phantom" / part) for part in ("image/phantom.nii.gz", "mask/mask.nii.gz")
    )
    spacing = [float(step) for step in image.header.get_zooms()[::-1]]
    array, inside = (np.asarray(part.dataobj).T for part in (image, mask))
    settings = fi.radiomics.Settings(bin_width=1, aggregation=aggregation)
    return fi.radiomics.extract(fi.Image(array, spacing=spacing), inside.astype(np.uint8), settings, names="ibsi")


@pytest.mark.parametrize("row", PHANTOM, ids=lambda row: f"{row['tag']}-{row['aggregation'].replace(' ', '')}")
def test_row_of_the_digital_phantom(row, accuracy):
    found = features(ANY.get(row["aggregation"], row["aggregation"]))
    measure(accuracy, "digital phantom", found[row["tag"]], row)
    assert agrees(found[row["tag"]], row), f"{found[row['tag']]} for {row['value']} +- {row['tolerance']}"


def test_the_table_is_whole(reference):
    assert reference / "ibsi1" == FOLDER
    assert len(PHANTOM) == 482
    assert len(ROWS) == 1803
