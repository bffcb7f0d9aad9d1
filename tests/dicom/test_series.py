"""dicom.series: order, spacing and what is wrong with it, by name and by distance."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_maker import SERIES, image, save, stack_of
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi


def one(folder):
    found = fi.dicom.series(folder)
    assert len(found) == 1
    return found[0]


def codes(series):
    return [f.code for f in series.findings]


def depths_of(series):
    import pydicom

    return [float(pydicom.dcmread(path).ImagePositionPatient[2]) for path in series.files]


def test_slices_come_in_order_of_position_whatever_names_and_numbers_say(tmp_path):
    stack_of(tmp_path, [0, 2.5, 5, 7.5, 10], InstanceNumber=lambda k: 9 - k)
    series = one(tmp_path)
    assert depths_of(series) == [0, 2.5, 5, 7.5, 10]
    assert codes(series) == []
    assert (series.kind, series.modality, series.subject, series.uid) == ("image", "CT", "P1", SERIES)
    assert series.attributes["path"] == series.files[0].name


@settings(max_examples=12, deadline=None)
@given(
    angles=st.tuples(st.floats(-3, 3), st.floats(-1.5, 1.5), st.floats(-3, 3)),
    spacing=st.floats(0.3, 8),
    count=st.integers(2, 6),
    seed=st.integers(0, 99),
)
def test_any_orientation_sorts_along_its_normal(tmp_path_factory, angles, spacing, count, seed):
    folder = tmp_path_factory.mktemp("s")
    turn = rotation(angles)
    row, column, normal = turn.T
    order = np.random.default_rng(seed).permutation(count)
    for number, k in enumerate(order):
        position = [float(f"{v:.6f}") for v in np.array([3.0, -40, 7]) + k * spacing * normal]
        ds = image(
            np.full((2, 3), k, np.uint16), number=number, ImagePositionPatient=position,
            ImageOrientationPatient=[float(f"{v:.9f}") for v in (*row, *column)], SliceThickness=spacing,
        )  # fmt: skip
        save(ds, folder / f"{number}.dcm")
    series = one(folder)
    assert codes(series) == []
    read = fi.dicom.read(series, dtype="exact")
    assert read.array[:, 0, 0].tolist() == [k - 1024 for k in range(count)]
    assert read.spacing == pytest.approx((spacing, 0.5, 0.75), abs=1e-4)
    np.testing.assert_allclose(read.affine[:3, 0], spacing * normal, atol=1e-4)


def rotation(angles):
    a, b, c = angles
    z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    x = np.array([[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]])
    return z @ y @ x


def test_a_gap_is_named_with_its_distance(tmp_path):
    stack_of(tmp_path, [0, 2.5, 5, 10, 12.5], names=["a", "b", "c", "d", "e"])
    finding = one(tmp_path).findings[0]
    assert finding.code == "missing-slice"
    assert "5.000 mm between c and d, 2.500 mm elsewhere" in finding.message
    assert finding.details["missing"] == 1


def test_uneven_distances_are_named_and_not_averaged(tmp_path):
    stack_of(tmp_path, [0, 2.5, 5, 8.6, 11.1], names=["a", "b", "c", "d", "e"])
    series = one(tmp_path)
    assert codes(series) == ["uneven-spacing"]
    assert "3.600 mm between c and d" in series.findings[0].message
    assert series.findings[0].details["gaps_mm"] == [3.6]
    with pytest.raises(fi.errors.GeometryError, match=r"uneven-spacing.*between c and d"):
        fi.dicom.read(series)


@pytest.mark.parametrize("jitter", [0.0009, 0.02])
def test_rounded_positions_are_even(tmp_path, jitter):
    rng = np.random.default_rng(0)
    depths = 2.5 * np.arange(8) + rng.uniform(-jitter / 2, jitter / 2, 8)
    stack_of(tmp_path, [round(float(d), 4) for d in depths])
    assert codes(one(tmp_path)) == []


def test_gantry_tilt_is_a_sheared_affine(tmp_path):
    """Tilted planes stacked along the table: 10 degrees."""
    angle = np.radians(10)
    orientation = [1, 0, 0, 0, float(np.cos(angle)), float(-np.sin(angle))]
    for k in range(4):
        save(image(np.full((3, 3), k, np.uint16), ImagePositionPatient=[0, 0, 5.0 * k], ImageOrientationPatient=orientation),
             tmp_path / f"{k}.dcm")  # fmt: skip
    series = one(tmp_path)
    assert codes(series) == ["gantry-tilt"]
    assert series.findings[0].details["degrees"] == pytest.approx(10, abs=0.01)
    read = fi.dicom.read(series)
    assert read.is_sheared
    np.testing.assert_allclose(read.affine[:3, 0], [0, 0, 5], atol=1e-6)


def test_a_slice_shifted_in_its_plane_is_named(tmp_path):
    for k in range(5):
        save(
            image(np.zeros((3, 3), np.uint16), ImagePositionPatient=[4.0 * (k == 2), 0, 2.0 * k]), tmp_path / f"{k}.dcm"
        )
    finding = one(tmp_path).findings[0]
    assert finding.code == "uneven-spacing"
    assert "2.dcm is shifted 4.000 mm within its plane" in finding.message


def test_slices_at_one_position_are_duplicates_where_nothing_tells_them_apart(tmp_path):
    stack_of(tmp_path, [0, 2, 4], names=["a", "b", "c"])
    save(image(np.zeros((6, 7), np.uint16), z=2, number=2), tmp_path / "d")
    series = one(tmp_path)
    assert codes(series) == ["duplicate-position"]
    assert series.findings[0].where == "d"
    assert [path.name for path in series.files] == ["a", "b", "c"]


def test_the_same_instance_twice_is_left_out(tmp_path):
    stack_of(tmp_path, [0, 2, 4], names=["a", "b", "c"])
    (tmp_path / "copy").write_bytes((tmp_path / "b").read_bytes())
    series = one(tmp_path)
    assert codes(series) == ["duplicate-instance"]
    assert fi.dicom.read(series).shape == (3, 6, 7)


def test_mixed_orientations_are_split_and_named(tmp_path):
    stack_of(tmp_path, [0, 2, 4])
    for k in range(3):
        ds = image(
            np.zeros((6, 7), np.uint16),
            ImagePositionPatient=[2.0 * k, 0, 0],
            ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
        )
        save(ds, tmp_path / f"s{k}")
    found = fi.dicom.series(tmp_path)
    assert [len(s.files) for s in found] == [3, 3]
    assert all("mixed-orientation" in codes(s) for s in found)
    assert found[0].uid == SERIES
    assert found[1].uid == SERIES + ":2"


def test_a_localizer_is_a_volume_of_its_own(tmp_path):
    stack_of(tmp_path, [0, 2, 4])
    save(image(np.zeros((6, 7), np.uint16), z=2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), tmp_path / "scout")
    found = fi.dicom.series(tmp_path)
    assert [(len(s.files), codes(s)) for s in found] == [(3, []), (1, ["single-slice", "localizer"])]


def test_magnitude_and_phase_are_two_volumes(tmp_path):
    for kind in "MP":
        for k in range(3):
            ds = image(np.zeros((3, 3), np.uint16), z=2.0 * k, Modality="MR", ImageType=["ORIGINAL", "PRIMARY", kind])
            save(ds, tmp_path / f"{kind}{k}")
    assert sorted(len(s.files) for s in fi.dicom.series(tmp_path)) == [3, 3]


@pytest.mark.parametrize(
    ("axis", "values", "keyword"),
    [
        ("echo", [2.1, 4.2, 6.3], "EchoTime"),
        ("t", [1, 2, 3], "TemporalPositionIdentifier"),
        ("b", [0, 500, 1000], "DiffusionBValue"),
    ],
)
def test_repeated_positions_make_a_leading_axis(tmp_path, axis, values, keyword):
    rng = np.random.default_rng(1)
    jobs = [(v, k) for v in range(3) for k in range(4)]
    for number, index in enumerate(rng.permutation(len(jobs))):
        v, k = jobs[index]
        ds = image(np.full((3, 3), 10 * v + k, np.uint16), z=2.0 * k, number=number, Modality="MR", RescaleIntercept=0)
        if keyword == "DiffusionBValue":
            ds.add_new(0x00189087, "FD", float(values[v]))
        else:
            setattr(ds, keyword, values[v])
        save(ds, tmp_path / f"{number}")
    series = one(tmp_path)
    assert (series.axis, list(series.values), codes(series)) == (axis, values, [])
    read = fi.dicom.read(series)
    assert read.dims == (axis, "z", "y", "x")
    assert list(read.coords[axis]) == values
    np.testing.assert_array_equal(read.array[:, :, 0, 0], [[10 * v + k for k in range(4)] for v in range(3)])


@pytest.mark.parametrize(("name", "value"), [("Rows", 5), ("PixelSpacing", [0.5, 0.8])])
def test_slices_that_differ_are_refused(tmp_path, name, value):
    stack_of(tmp_path, [0, 2, 4])
    odd = np.zeros((5 if name == "Rows" else 6, 7), np.uint16)
    save(image(odd, z=6, **({} if name == "Rows" else {name: value})), tmp_path / "odd")
    series = one(tmp_path)
    assert codes(series) == ["mixed-attributes"]
    with pytest.raises(fi.errors.FormatError, match="mixed-attributes"):
        fi.dicom.read(series)


def test_without_positions(tmp_path):
    save(image(np.zeros((3, 3), np.uint16), ImagePositionPatient=None, ImageOrientationPatient=None), tmp_path / "x")
    series = one(tmp_path)
    assert codes(series) == ["no-geometry"]
    with pytest.raises(fi.errors.GeometryError, match="no-geometry"):
        fi.dicom.read(series)
    assert fi.dicom.read(series, tolerate=["no-geometry"]).spacing == (2.5, 0.5, 0.75)


def test_positions_that_are_no_numbers(tmp_path):
    from dicom_maker import element, header, part10

    body = header() + element(0x7FE0, 0x10, "OW", bytes(32))
    place = element(0x20, 0x32, "DS", b"1e400\\0\\0") + element(0x20, 0x37, "DS", b"1\\0\\0\\0\\0\\0 ")
    at = body.index(element(0x28, 2, "US", b"\1\0"))
    (tmp_path / "x").write_bytes(part10(body[:at] + place + body[at:]))
    assert "no-geometry" in codes(one(tmp_path))
