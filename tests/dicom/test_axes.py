"""Slices at one place told apart: b-values of standard and private elements, echoes, phases, times; stacks of one file."""

from __future__ import annotations

import itertools
import struct

import numpy as np
import pytest
from dicom_maker import enhanced, image, save
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import fastimg as fi
from fastimg.dicom import _series
from fastimg.dicom._axes import Candidate, arranged
from fastimg.dicom._private_b import b_values, csa_number

DEPTHS = (0.0, 2.0, 4.0)


def csa(name, text, *, new=True):
    """A Siemens CSA header with an element without items and one of six items."""
    head = (b"SV10\4\3\2\1" if new else b"") + struct.pack("<II", 2, 77)
    for label, value, items in (("EchoLinePosition", "", 0), (name, text, 6)):
        head += label.encode().ljust(64, b"\0") + struct.pack("<I4sIII", 1, b"IS\0\0", 6, items, 77)
        for item in range(items):
            data = value.encode() if item == 0 else b""
            sizes = (len(data), len(data), 77, len(data)) if new else (len(data) + 6, 0, 77, 0)
            head += struct.pack("<IIII", *sizes) + data + b"\0" * (-len(data) % 4)
    return head


def private(ds, maker, b):
    if maker == "siemens":
        ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", int(b))
    elif maker == "siemens, third block":
        for name in ("SIEMENS A", "SIEMENS B"):
            ds.private_block(0x0019, name, create=True).add_new(0x0C, "IS", 77)
        ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", int(b))
    elif maker == "csa":
        ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", csa("B_value", str(int(b))))
    elif maker == "sequence name":
        ds.Manufacturer, ds.SequenceName = "Siemens", f"*ep_b{int(b)}t"
    elif maker == "ge":
        ds.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x39, "IS", [1_000_000_000 + int(b), 8, 0, 0])
    elif maker == "ge, plain":
        ds.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x39, "IS", [int(b), 8, 0, 0])
    elif maker == "philips":
        ds.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x03, "FL", float(b))
    elif maker == "united imaging":
        ds.private_block(0x0065, "Image Private Header", create=True).add_new(0x09, "FD", float(b))
    else:
        ds.DiffusionBValue = float(b)
    return ds


MAKERS = ["standard", "siemens", "siemens, third block", "csa", "sequence name", "ge", "ge, plain", "philips",
          "united imaging"]  # fmt: skip


@pytest.mark.parametrize("maker", MAKERS)
def test_b_values_of_every_maker(tmp_path, maker):
    rng = np.random.default_rng(0)
    volume = rng.integers(0, 900, (3, 3, 4, 5)).astype(np.uint16)
    numbers = rng.permutation(9)
    for n, (k, z) in zip(numbers, itertools.product(range(3), range(3)), strict=True):
        ds = image(volume[k, z], z=DEPTHS[z], number=int(n), Modality="MR", RescaleIntercept=0)
        save(private(ds, maker, (0, 50, 800)[k]), tmp_path / f"{n}.dcm")
    read = fi.dicom.read(tmp_path)
    assert read.dims == ("b", "z", "y", "x")
    assert read.coords["b"] == (0.0, 50.0, 800.0)
    assert read.unit == "arbitrary"
    np.testing.assert_array_equal(read.array, volume)


@given(st.binary(max_size=300))
def test_a_damaged_csa_header_is_none(data):
    for prefix in (b"", b"SV10\4\3\2\1", csa("B_value", "700")[:150]):
        assert csa_number(prefix + data, "B_value") is None or prefix


def test_files_that_are_gone_have_no_b_value(tmp_path):
    (tmp_path / "text").write_text("no DICOM")
    row = {"manufacturer": None, "sequence_name": None}
    assert b_values([str(tmp_path / "gone"), str(tmp_path / "text")], [row, row]) == [None, None]


def test_old_csa_headers():
    assert csa_number(csa("B_value", "650", new=False), "B_value") == 650
    assert csa_number(csa("B_value", "650"), "B_value") == 650
    assert csa_number(csa("B_value", "650"), "Other") is None


@pytest.mark.parametrize("new", [True, False])
def test_csa_headers_read_as_nibabel_reads_them(new):
    reader = pytest.importorskip("nibabel.nicom.csareader")
    data = csa("B_value", "650", new=new)
    assert reader.read(data)["tags"]["B_value"]["items"][:1] == [csa_number(data, "B_value")] == [650]


def test_directions_of_one_b_value_repeat_it(tmp_path):
    """One image without diffusion, three directions at b = 700: no full grid, so the values of one axis repeat."""
    n = 0
    for direction, b in enumerate((0, 700, 700, 700)):
        for z in DEPTHS:
            n += 1
            save(image(np.full((4, 5), 10 * direction + z, np.uint16), z=z, number=n, Modality="MR", RescaleIntercept=0,
                       DiffusionBValue=float(b)), tmp_path / f"{n}.dcm")  # fmt: skip
    read = fi.dicom.read(tmp_path)
    assert read.coords == {"b": (0.0, 700.0, 700.0, 700.0)}
    assert read.array[:, 0, 0, 0].tolist() == [0, 10, 20, 30]


def test_directions_at_every_b_value_are_an_axis(tmp_path):
    n = 0
    for b, direction in itertools.product((50, 800), range(3)):
        for z in DEPTHS:
            n += 1
            save(image(np.full((4, 5), b + direction, np.uint16), z=z, number=n, Modality="MR", RescaleIntercept=0,
                       DiffusionBValue=float(b)), tmp_path / f"{n}.dcm")  # fmt: skip
    read = fi.dicom.read(tmp_path)
    assert read.dims[:2] == ("b", "direction")
    assert read.array[:, :, 1, 0, 0].tolist() == [[50, 51, 52], [800, 801, 802]]


def test_echoes_and_times_are_two_axes(tmp_path):
    n = 0
    for t, (k, echo) in itertools.product(range(3), enumerate((2.3, 4.6))):
        for z in DEPTHS:
            n += 1
            save(image(np.full((4, 5), 100 * k + t, np.uint16), z=z, number=n, Modality="MR", RescaleIntercept=0,
                       EchoTime=echo, AcquisitionTime=f"1200{t}{int(z)}"), tmp_path / f"{n}.dcm")  # fmt: skip
    (series,) = fi.dicom.series(tmp_path)
    assert [name for name, _ in series.axes] == ["echo", "t"]
    assert (series.axis, series.values) == ("echo", (2.3, 4.6))
    read = fi.dicom.read(series)
    assert read.shape == (2, 3, 3, 4, 5)
    assert read.array[:, :, 2, 0, 0].tolist() == [[0, 1, 2], [100, 101, 102]]


@pytest.mark.parametrize(("keyword", "axis"), [("TriggerTime", "t"), ("InversionTime", "inversion")])
def test_cardiac_phases_and_inversion_times(tmp_path, keyword, axis):
    n = 0
    for k, value in enumerate((0.0, 40.0, 80.0)):
        for z in DEPTHS:
            n += 1
            save(image(np.full((4, 5), k, np.uint16), z=z, number=n, Modality="MR", RescaleIntercept=0,
                       **{keyword: value}), tmp_path / f"{n}.dcm")  # fmt: skip
    read = fi.dicom.read(tmp_path)
    assert read.coords == {axis: (0.0, 40.0, 80.0)}
    assert read.array[:, 0, 0, 0].tolist() == [0, 1, 2]


@given(st.permutations(range(12)), st.booleans())
def test_any_order_of_slices_is_arranged_alike(order, grid):
    """Two echoes by two times at three places, shuffled: order and axes do not depend on it."""
    echo = [index // 6 for index in order]
    time = [(index // 3) % 2 for index in order]
    place = [index % 3 for index in order]
    places = [[i for i in range(12) if place[i] == p] for p in range(3)]
    times = time if grid else [10 * t + p for t, p in zip(time, place, strict=True)]
    candidates = [Candidate("echo", echo), Candidate("t", times, ranked=not grid)]
    found = arranged(places, candidates, list(order))
    assert found is not None
    expected = [order.index(6 * e + 3 * t + p) for e in range(2) for t in range(2) for p in range(3)]
    assert found[0] == expected
    assert [name for name, _ in found[1]] == ["echo", "t"]


def test_unequal_numbers_of_slices_are_not_arranged():
    assert arranged([[0, 1], [2]], [Candidate("t", [0, 1, 0])], [0, 1, 2]) is None
    assert arranged([[0, 1], [2, 3]], [Candidate("t", [0, None, 0, 1])], [None] * 4) is None


# enhanced objects -------------------------------------------------------------------------------------------------------


def _grouped(ds, sequence, values):
    for group, value in zip(ds.PerFrameFunctionalGroupsSequence, values, strict=True):
        item = Dataset()
        for name, one in value.items():
            setattr(item, name, one)
        setattr(group, sequence, Sequence([item]))


def test_enhanced_b_values_with_directions(tmp_path):
    positions = [(0, 0, z) for _ in range(4) for z in DEPTHS]
    volume = np.arange(12, dtype=np.uint16).repeat(20).reshape(12, 4, 5)
    ds = enhanced(volume, positions, intercepts=[0] * 12)
    _grouped(ds, "MRDiffusionSequence", [{"DiffusionBValue": b} for b in (0, 900, 900, 900) for _ in DEPTHS])
    save(ds, tmp_path / "e.dcm")
    read = fi.dicom.read(tmp_path / "e.dcm")
    assert read.coords == {"b": (0.0, 900.0, 900.0, 900.0)}
    assert read.array[:, :, 0, 0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


@pytest.mark.parametrize(
    ("sequence", "keyword", "axis"),
    [("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime", "t"),
     ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase", "t"),
     ("TemporalPositionSequence", "TemporalPositionTimeOffset", "t"),
     ("MRModifierSequence", "InversionTimes", "inversion")],
)  # fmt: skip
def test_enhanced_phases_and_offsets(tmp_path, sequence, keyword, axis):
    positions = [(0, 0, z) for z in DEPTHS for _ in range(2)]
    volume = np.arange(6, dtype=np.uint16).repeat(20).reshape(6, 4, 5)
    ds = enhanced(volume, positions, intercepts=[0] * 6)
    _grouped(ds, sequence, [{keyword: 12.5 * (1 + k)} for _ in DEPTHS for k in range(2)])
    save(ds, tmp_path / "e.dcm")
    read = fi.dicom.read(tmp_path / "e.dcm")
    assert read.coords == {axis: (12.5, 25.0)}
    assert read.array[:, :, 0, 0].tolist() == [[0, 2, 4], [1, 3, 5]]


def test_stacks_of_several_orientations_in_one_file_are_volumes_of_their_own(tmp_path):
    """A three-plane localizer in one enhanced file."""
    planes = [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1)]
    normals = [np.cross(p[:3], p[3:]) for p in planes]
    positions = [tuple(normal * z) for normal in normals for z in DEPTHS]
    volume = np.arange(9, dtype=np.uint16).repeat(20).reshape(9, 4, 5)
    ds = enhanced(volume, positions, intercepts=[0] * 9)
    del ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    _grouped(ds, "PlaneOrientationSequence", [{"ImageOrientationPatient": list(p)} for p in planes for _ in DEPTHS])
    save(ds, tmp_path / "e.dcm")
    found = fi.dicom.series(tmp_path)
    assert len(found) == 3
    assert [one.frames for one in found] == [(0, 1, 2), (3, 4, 5), (6, 7, 8)]
    assert found[1].uid.endswith(":2")
    for number, (one, plane) in enumerate(zip(found, planes, strict=True)):
        (finding,) = [f for f in one.findings if f.code == "mixed-orientation"]
        assert f"from frame {3 * number + 1}" in finding.message
        read = fi.dicom.read(one)
        assert read.shape == (3, 4, 5)
        assert read.array[:, 0, 0].tolist() == [3 * number, 3 * number + 1, 3 * number + 2]
        np.testing.assert_allclose(read.affine[:3, 2], np.array(plane[:3]) * 0.75)
        np.testing.assert_allclose(read.affine[:3, 0], normals[number] * 2)
    with pytest.raises(fi.errors.ArgumentError, match="3 volumes"):
        fi.dicom.read(tmp_path)


def test_parallel_stacks_that_do_not_continue_each_other_are_apart(tmp_path):
    depths = [0, 2, 4, 31, 33, 35]
    ds = enhanced(np.zeros((6, 4, 5), np.uint16), [(0, 0, z) for z in depths],
                  content=lambda k: {"StackID": str(1 + k // 3)})  # fmt: skip
    save(ds, tmp_path / "e.dcm")
    assert [one.frames for one in fi.dicom.series(tmp_path)] == [(0, 1, 2), (3, 4, 5)]
    ds = enhanced(np.zeros((6, 4, 5), np.uint16), [(0, 0, 2 * k) for k in range(6)],
                  content=lambda k: {"StackID": str(1 + k // 3)})  # fmt: skip
    save(ds, tmp_path / "e.dcm")
    (one,) = fi.dicom.series(tmp_path)
    assert one.frames == ()
    assert fi.dicom.read(one).shape == (6, 4, 5)


def test_series_tell_their_axes():
    one = _series.Series("1", "image", "MR", "2", "3", [])
    assert (one.axis, one.values, one.axes, one.frames) == (None, (), (), ())
