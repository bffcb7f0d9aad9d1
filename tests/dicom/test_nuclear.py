"""NM Image: reconstructed slices by the detector module, gates and energy windows as axes; all else has no place."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_maker import image, save
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

import fastimg as fi

SLICES, ENERGY, INTERVAL, SLOT, VIEW, ROTATION = 0x00540080, 0x00540010, 0x00540060, 0x00540070, 0x00540090, 0x00540050
OBLIQUE = (0.8, 0.6, 0.0, 0.0, 0.0, -1.0)


def nuclear(vectors, *, step=4.0, orientation=(1, 0, 0, 0, 1, 0), origin=(-10.0, -20.0, 30.0), detectors=1, **elements):
    count = len(next(iter(vectors.values())))
    pixels = np.random.default_rng(count).integers(0, 3000, (count, 6, 8)).astype(np.uint16)
    ds = image(pixels[0], NumberOfFrames=count, Modality="NM", ImagePositionPatient=None, ImageOrientationPatient=None)
    for name in ("RescaleSlope", "RescaleIntercept", "RescaleType"):
        if name in ds:
            del ds[name]
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.20"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    ds.PixelData = pixels.tobytes()
    ds.FrameIncrementPointer = [Tag(tag) for tag in vectors]
    for tag, values in vectors.items():
        ds.add_new(tag, "US", list(values))
    ds.SpacingBetweenSlices = step
    items = []
    for number in range(detectors):
        item = Dataset()
        item.ImageOrientationPatient, item.ImagePositionPatient = list(orientation), [origin[0] + number, *origin[1:]]
        items.append(item)
    ds.DetectorInformationSequence = Sequence(items)
    for name, value in elements.items():
        setattr(ds, name, value)
    return ds, pixels.astype(np.float32)


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), OBLIQUE])
@pytest.mark.parametrize("step", [4.0, -4.0])
def test_slices_stack_along_the_normal_or_against_it(tmp_path, orientation, step):
    ds, pixels = nuclear({SLICES: (1, 2, 3, 4, 5)}, step=step, orientation=orientation)
    seen = fi.dicom.read(save(ds, tmp_path / "a.dcm"))
    normal = np.cross(orientation[:3], orientation[3:])
    for k in range(5):  # each frame lies where C.8.4.15 says, whatever the order of slices
        place = np.array((-10.0, -20.0, 30.0)) + k * step * normal
        index = np.linalg.solve(seen.affine, [*place, 1])[:3]
        np.testing.assert_allclose(index, np.round(index), atol=1e-9)
        np.testing.assert_array_equal(seen.array[round(index[0])], pixels[k])
    assert seen.affine[:3, 0] @ normal == pytest.approx(4)
    assert seen.dims == ("z", "y", "x")
    assert not seen.metadata["findings"]


@pytest.mark.parametrize("step", [4.0, -4.0])
def test_equal_to_simpleitk(tmp_path, step):
    sitk = pytest.importorskip("SimpleITK")
    ds, _ = nuclear({SLICES: (1, 2, 3, 4)}, orientation=OBLIQUE, step=step)
    path = save(ds, tmp_path / "a.dcm")
    theirs = sitk.ReadImage(str(path))
    ours = fi.dicom.read(path)
    turned = slice(None, None, 1 if step > 0 else -1)  # theirs are in the file's order
    np.testing.assert_array_equal(sitk.GetArrayFromImage(theirs)[turned], ours.array)
    for k, j, i in ((0, 0, 0), (3, 0, 0), (1, 5, 7)):
        place = theirs.TransformIndexToPhysicalPoint((i, j, k if step > 0 else 3 - k))
        np.testing.assert_allclose(place, (ours.affine @ (k, j, i, 1))[:3], atol=1e-5)


def test_gates_and_energy_windows_are_axes(tmp_path):
    energy, slot, place = (part.ravel() for part in np.meshgrid([1, 2], [1, 2, 3], [1, 2, 3, 4], indexing="ij"))
    ds, pixels = nuclear({ENERGY: energy.tolist(), SLOT: slot.tolist(), SLICES: place.tolist()})
    seen = fi.dicom.read(save(ds, tmp_path / "a.dcm"))
    assert seen.dims == ("energy", "t", "z", "y", "x")
    assert seen.coords == {"energy": (1, 2), "t": (1, 2, 3)}
    np.testing.assert_array_equal(seen.array, pixels.reshape(2, 3, 4, 6, 8))


def test_frames_in_any_order(tmp_path):
    slot, place = (part.ravel() for part in np.meshgrid([1, 2], [1, 2, 3], indexing="ij"))
    order = np.random.default_rng(0).permutation(6)
    ds, pixels = nuclear({SLOT: slot[order].tolist(), SLICES: place[order].tolist()})
    seen = fi.dicom.read(save(ds, tmp_path / "a.dcm"))
    np.testing.assert_array_equal(seen.array.reshape(6, 6, 8)[order], pixels)


@pytest.mark.parametrize(
    ("vectors", "more", "text"),
    [
        ({ROTATION: (1, 1, 1), VIEW: (1, 2, 3)}, {}, "no slices of a reconstruction"),
        ({SLICES: (1, 2, 3)}, {"detectors": 0}, "no place"),
        ({SLICES: (1, 2, 3)}, {"detectors": 2}, "2 places"),
        ({SLICES: (1, 2, 3)}, {"step": None}, "no spacing between slices"),
        ({SLICES: (1, 2, 3)}, {"step": 0}, "no spacing between slices"),
        ({SLICES: (1, 2, 3)}, {"PixelSpacing": None}, "no pixel spacing"),
        ({SLICES: (1, 2, 3)}, {"orientation": (1, 0, 0, 1, 0, 0)}, "make no place"),
        ({SLICES: (0, 1, 2)}, {}, "no slices of a reconstruction"),
    ],
)
def test_what_has_no_place_is_told_and_refused(tmp_path, vectors, more, text):
    ds, pixels = nuclear(vectors, **more)
    path = save(ds, tmp_path / "a.dcm")
    with pytest.raises(fi.errors.GeometryError, match=f"no-geometry .*{text}"):
        fi.dicom.read(path)
    np.testing.assert_array_equal(fi.dicom.read(path, tolerate="no-geometry").array, pixels)


def test_gaps_and_repeats_are_told(tmp_path):
    ds, _ = nuclear({SLICES: (1, 2, 4, 5)})
    with pytest.raises(fi.errors.GeometryError, match="missing-slice"):
        fi.dicom.read(save(ds, tmp_path / "a.dcm"))
    ds, _ = nuclear({SLICES: (1, 2, 1, 2)})
    with pytest.raises(fi.errors.GeometryError, match="duplicate-position"):
        fi.dicom.read(save(ds, tmp_path / "b.dcm"))
