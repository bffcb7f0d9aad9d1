"""napari's reader: its layers, through npe2 (napari's plug-in engine) and its manifest, and in a viewer of napari."""

from __future__ import annotations

from importlib import metadata

import numpy as np
import pytest

import fastimg as fi
from fastimg.interop.napari import get_reader, layer

from ..dicom.dicom_maker import stack_of


def turned():
    """An image whose axes are no axis of the patient."""
    c, s = np.cos(0.3), np.sin(0.3)
    direction = [[c, -s, 0], [s, c, 0], [0, 0, 1]]
    array = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    return fi.Image(array, spacing=(2.5, 0.8, 0.7), origin=(-10, 5, 30), direction=direction)


@pytest.fixture
def cohort(tmp_path):
    made = fi.Cohort.create(tmp_path / "cohort")
    image = turned()
    made.add("case-1", image, masks={"tumour": image.with_array((image.array > 30).astype(np.uint8))})
    return made


@pytest.mark.parametrize("inner", ["", "image.ome.zarr", "image.ome.zarr/0"])
def test_a_case(cohort, inner):
    path = str(cohort["case-1"].path.parent / inner)
    (voxels, options, kind), (mask, mask_options, mask_kind) = get_reader(path)(path)
    image = turned()
    assert (kind, mask_kind) == ("image", "labels")
    assert (options["name"], mask_options["name"]) == ("case-1", "tumour")
    np.testing.assert_array_equal(voxels, image.array)
    np.testing.assert_array_equal(mask, image.array > 30)
    place = options["affine"] @ [2, 1, 3, 1]  # napari: (k, j, i) -> world in the array's order
    np.testing.assert_allclose(place[:3], (image.affine @ [2, 1, 3, 1])[:3][::-1])
    np.testing.assert_array_equal(mask_options["affine"], options["affine"])


def test_leading_axes_and_colour():
    data = np.zeros((2, 3, 4, 5, 6), np.uint8)
    data[1, 2, 3, 4, 5] = 200
    image = fi.Image(data, dims=("time", "colour", "z", "y", "x"), spacing=(3, 2, 1))
    array, options, _ = layer(image, "photograph")
    assert options["rgb"]
    assert array.shape == (2, 4, 5, 6, 3)
    assert array[1, 3, 4, 5, 2] == 200
    np.testing.assert_allclose(options["affine"] @ [1, 3, 4, 5, 1], [1, 9, 8, 5, 1])
    data = np.zeros((2, 4, 5, 6), np.int16)
    _, options, _ = layer(fi.Image(data, dims=("time", "z", "y", "x"), spacing=(3, 2, 1)), "series")
    assert "rgb" not in options
    assert options["affine"].shape == (5, 5)


def test_dicom_folder_file_and_files(tmp_path):
    (tmp_path / "in").mkdir()
    stack_of(tmp_path / "in", range(5))
    expected = fi.dicom.read(fi.dicom.series(tmp_path / "in")[0])
    folder = str(tmp_path / "in")
    ((voxels, options, kind),) = get_reader(folder)(folder)
    np.testing.assert_array_equal(voxels, expected.array)
    np.testing.assert_allclose((options["affine"] @ [4, 2, 1, 1])[:3], (expected.affine @ [4, 2, 1, 1])[:3][::-1])
    assert kind == "image"
    assert options["name"].split()[0] in ("CT", "MR")  # nothing of the patient
    files = sorted(map(str, (tmp_path / "in").rglob("*.dcm")))
    ((voxels, _, _),) = get_reader(files)(files)
    np.testing.assert_array_equal(voxels, expected.array)
    ((voxels, _, _),) = get_reader(files[0])(files[0])
    assert voxels.shape[-2:] == expected.shape[-2:]


def test_what_is_not_ours_is_left_to_others(tmp_path, cohort):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.dcm").write_text("no")
    (tmp_path / "cases" / "x").mkdir(parents=True)
    for path in ("empty", "text.dcm", "cases/x", "nowhere", "cohort/index"):
        assert get_reader(str(tmp_path / path)) is None, path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # npe2's own, of pydantic
def test_the_manifest_through_npe2(cohort):
    npe2 = pytest.importorskip("npe2", reason="npe2 is not installed")
    (entry,) = (e for e in metadata.entry_points(group="napari.manifest") if e.name == "fastimg")
    manifest = npe2.PluginManifest.from_distribution("fastimg")
    assert entry.value == "fastimg:napari.yaml"
    manifest.validate_imports()
    manager = npe2.PluginManager.instance()
    manager.discover()  # as napari does when it starts
    folder = str(cohort["case-1"].path.parent)
    readers = {path: [r.command for r in manager.iter_compatible_readers(path)] for path in (folder, "a.DCM", "a.png")}
    assert ["fastimg.read" in commands for commands in readers.values()] == [True, True, False]
    layers = npe2.read([folder], stack=False, plugin_name="fastimg")
    assert [kind for _, _, kind in layers] == ["image", "labels"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of napari's own
def test_a_viewer_of_napari_opens_a_case_and_a_folder(cohort, tmp_path):
    napari = pytest.importorskip("napari", reason="napari is not installed")
    from napari.components import ViewerModel  # the viewer without its window

    viewer = ViewerModel()
    image, mask = viewer.open(str(cohort["case-1"].path.parent), plugin="fastimg")
    assert (type(image), type(mask)) == (napari.layers.Image, napari.layers.Labels)
    assert [one.name for one in viewer.layers] == ["case-1", "tumour"]
    np.testing.assert_array_equal(image.data, turned().array)
    for shown in (image, mask):
        np.testing.assert_allclose(shown.data_to_world((2, 1, 3)), (turned().affine @ [2, 1, 3, 1])[2::-1])
    np.testing.assert_array_equal(mask.data > 0, turned().array > 30)
    (tmp_path / "in").mkdir()
    stack_of(tmp_path / "in", range(5))
    (volume,) = viewer.open(str(tmp_path / "in"), plugin="fastimg")
    np.testing.assert_array_equal(volume.data, fi.dicom.read(fi.dicom.series(tmp_path / "in")[0]).array)
