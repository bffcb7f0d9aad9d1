"""The 33 consensus response maps of IBSI 2, phase 1: every voxel within 1 % of the map's range."""

from __future__ import annotations

import csv
from functools import cache

import numpy as np
import pytest

import fastimg as fi
from fastimg import filtering as f

ANGLES_8, ANGLES_16 = [45 * n for n in range(8)], [22.5 * n for n in range(16)]


def gabor_a(image, **more):
    return f.gabor(image, sigma_mm=10, gamma=0.5, wavelength_mm=4, mode="constant", **more)


def gabor_b(image, **more):
    return f.gabor(image, sigma_mm=20, gamma=2.5, wavelength_mm=8, **more)


def riesz_of_log(image, order):
    return f.riesz(f.laplacian_of_gaussian(image, sigma_mm=3, mode="constant"), order=order)


CASES = {
    "1_a_1": ("checkerboard", lambda v: f.mean(v, size=15, mode="constant")),
    "1_a_2": ("checkerboard", lambda v: f.mean(v, size=15, mode="nearest")),
    "1_a_3": ("checkerboard", lambda v: f.mean(v, size=15, mode="wrap")),
    "1_a_4": ("checkerboard", lambda v: f.mean(v, size=15, mode="reflect")),
    "1_b_1": ("impulse", lambda v: f.mean(v, size=15, plane=True, mode="constant")),
    "2_a": ("impulse", lambda v: f.laplacian_of_gaussian(v, sigma_mm=3, mode="constant")),
    "2_b": ("checkerboard", lambda v: f.laplacian_of_gaussian(v, sigma_mm=5)),
    "2_c": ("checkerboard", lambda v: f.laplacian_of_gaussian(v, sigma_mm=5, plane=True)),
    "3_a_1": ("impulse", lambda v: f.laws(v, kernels="E5L5S5", mode="constant")),
    "3_a_2": ("impulse", lambda v: f.laws(v, kernels="E5L5S5", mode="constant", rotation_invariant=True)),
    "3_a_3": ("impulse", lambda v: f.laws(v, kernels="E5L5S5", mode="constant", rotation_invariant=True, energy=7)),
    "3_b_1": ("checkerboard", lambda v: f.laws(v, kernels="E3W5R5")),
    "3_b_2": ("checkerboard", lambda v: f.laws(v, kernels="E3W5R5", rotation_invariant=True)),
    "3_b_3": ("checkerboard", lambda v: f.laws(v, kernels="E3W5R5", rotation_invariant=True, energy=7)),
    "3_c_1": ("checkerboard", lambda v: f.laws(v, kernels="L5S5")),
    "3_c_2": ("checkerboard", lambda v: f.laws(v, kernels="L5S5", rotation_invariant=True)),
    "3_c_3": ("checkerboard", lambda v: f.laws(v, kernels="L5S5", rotation_invariant=True, energy=7)),
    "4_a_1": ("impulse", lambda v: gabor_a(v, theta=60)),
    "4_a_2": ("impulse", lambda v: gabor_a(v, theta=ANGLES_8, rotation_invariant=True)),
    "4_b_1": ("sphere", lambda v: gabor_b(v, theta=225)),
    "4_b_2": ("sphere", lambda v: gabor_b(v, theta=ANGLES_16, rotation_invariant=True)),
    "5_a_1": ("impulse", lambda v: f.wavelet(v, family="db2", bands="LHL", mode="constant")),
    "5_a_2": ("impulse", lambda v: f.wavelet(v, family="db2", bands="LHL", mode="constant", rotation_invariant=True)),
    "6_a_1": ("sphere", lambda v: f.wavelet(v, family="coif1", bands="HHL", mode="wrap")),
    "6_a_2": ("sphere", lambda v: f.wavelet(v, family="coif1", bands="HHL", mode="wrap", rotation_invariant=True)),
    "7_a_1": ("checkerboard", lambda v: f.wavelet(v, family="haar", bands="LLL", level=2, rotation_invariant=True)),
    "7_a_2": ("checkerboard", lambda v: f.wavelet(v, family="haar", bands="HHH", level=2, rotation_invariant=True)),
    "8_a_1": ("checkerboard", lambda v: f.simoncelli(v, level=1)),
    "8_a_2": ("checkerboard", lambda v: f.simoncelli(v, level=2)),
    "8_a_3": ("checkerboard", lambda v: f.simoncelli(v, level=3)),
    "9_a": ("impulse", lambda v: riesz_of_log(v, (1, 0, 0))),
    "9_b_1": ("sphere", lambda v: riesz_of_log(v, (0, 2, 0))),
    "10_b_1": ("pattern_1", lambda v: f.simoncelli(v, level=1, riesz_order=(0, 2, 0))),
}


@cache
def volume(path):
    nibabel = pytest.importorskip("nibabel")
    loaded = nibabel.load(path)
    spacing = [float(step) for step in loaded.header.get_zooms()[::-1]]
    return fi.Image(np.ascontiguousarray(np.asarray(loaded.dataobj, dtype=np.float64).T), spacing=spacing)


@pytest.mark.parametrize("name", CASES)
def test_response_map(name, reference, accuracy):
    folder = reference / "ibsi2"
    with open(folder / "ibsi2_phase1_response_maps.csv", newline="") as file:
        (row,) = (row for row in csv.DictReader(file) if row["filter_id"] == name)
    phantom, respond = CASES[name]
    found = respond(volume(folder / "digital_phantom" / phantom / "image" / f"{phantom}.nii.gz"))
    expected = volume(folder / "reference_response_maps" / row["file"])
    worst = np.abs(found.array - expected.array).max()
    room = float(row["tolerance_1pct_range"])
    accuracy("filters, response maps", "IBSI 2 maps", found.array, expected.array, of="tolerance", scale=room)
    assert worst <= room


def test_all_maps_are_here(reference):
    with open(reference / "ibsi2" / "ibsi2_phase1_response_maps.csv", newline="") as file:
        assert {row["filter_id"] for row in csv.DictReader(file)} == set(CASES)
    assert len(CASES) == 33
