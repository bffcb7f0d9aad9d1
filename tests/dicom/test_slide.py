"""Whole slides: levels that equal the matrix they were cut from, tile by tile, and read no more than a slice touches."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import generate_uid
from slide_maker import colours, pyramid, slide_file, tiles_of

import fastimg as fi
from fastimg.dicom import slide


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slide")
    return folder, pyramid(folder)


def test_levels_of_several_files_equal_their_matrices(made):
    folder, matrices = made
    found = slide(folder)
    assert [level.shape for level in found.levels] == [m.shape for m in matrices]
    for level, matrix in zip(found.levels, matrices, strict=True):
        np.testing.assert_array_equal(level[...], matrix)
        np.testing.assert_array_equal(np.asarray(level), matrix)
    assert [level.downsample for level in found.levels] == pytest.approx([1, 2, 150 / 38])
    assert found.levels[1].spacing == (0.001, 0.001)
    assert found.levels[0].origin == (20.0, 40.0)
    assert found.levels[0].dims == ("y", "x", "channel")
    assert found.level(0.0011) is found.levels[1]
    assert found.level(0.0001) is found.levels[0]
    assert "150x210" in repr(found)


def test_label_and_overview_are_dropped_unless_released(made):
    folder, _ = made
    found = slide(folder)
    assert sorted(f.where for f in found.findings if f.code == "slide-label") == ["LABEL.dcm", "OVERVIEW.dcm"]
    assert found.labels == []
    released = slide(folder, release=["label"])
    assert len(released.labels) == 2
    assert released.findings == []
    np.testing.assert_array_equal(released.labels[0][...], colours((40, 60), seed=5))
    assert len(released.levels) == 3


def _slices(length):
    ends = st.one_of(st.none(), st.integers(-length - 2, length + 2))
    return st.builds(slice, ends, ends, st.one_of(st.none(), st.sampled_from([1, 2, 7, 31, -1, -3])))


@given(data=st.data())
def test_slicing_is_numpys(made, data):
    folder, matrices = made
    level = slide(folder / "9.dcm", threads=2).levels[0]
    index = st.integers(-150, 149)
    key = data.draw(
        st.one_of(
            st.tuples(_slices(150), _slices(210)),
            st.tuples(_slices(150), _slices(210), st.one_of(_slices(3), st.integers(0, 2))),
            st.tuples(index, _slices(210)),
            st.tuples(_slices(150), st.integers(-210, 209)),
            st.tuples(st.just(Ellipsis), st.integers(0, 2)),
            st.tuples(index, st.just(Ellipsis)),
            index,
        )
    )
    np.testing.assert_array_equal(level[key], matrices[0][key])


def test_a_slice_decodes_only_the_tiles_it_touches(made, monkeypatch):
    folder, matrices = made
    level = slide(folder / "9.dcm").levels[0]
    seen = []
    real = level._decoded
    monkeypatch.setattr(level, "_decoded", lambda *place: seen.append(place) or real(*place))
    np.testing.assert_array_equal(level[30:34, 47:49], matrices[0][30:34, 47:49])
    assert sorted(frame for _, frame in seen) == [0, 1, 5, 6]
    seen.clear()
    level[::64, ::96]  # every other tile
    assert len(seen) == 3 * 3


def test_wrong_indices_are_refused(made):
    level = slide(made[0]).levels[0]
    with pytest.raises(IndexError, match="out of bounds"):
        level[150]
    with pytest.raises(fi.errors.ArgumentError, match="4 indices"):
        level[0, 0, 0, 0]
    with pytest.raises(fi.errors.ArgumentError, match="slices"):
        level[[1, 2]]
    with pytest.raises(fi.errors.ArgumentError, match="no tile"):
        level.tile(99, 0)
    with fi.config.use(memory_limit=1000), pytest.raises(fi.errors.ArgumentError, match="memory limit"):
        level[...]


def test_jpeg_baseline_tiles_equal_pydicoms(tmp_path):
    matrices = pyramid(tmp_path, jpeg=True, levels=2)
    found = slide(tmp_path)
    for name, level, matrix in zip(("9.dcm", "8.dcm"), found.levels, matrices, strict=True):
        frames = pydicom.dcmread(tmp_path / name).pixel_array
        for number, (row, column) in enumerate(tiles_of(matrix, (32, 48))):
            tile = level.tile(row, column)
            assert (
                np.abs(tile.astype(int) - frames[number]).max() <= 3
            )  # chroma is interpolated by each decoder's own way
            assert np.abs(tile.astype(int) - frames[number]).mean() < 0.5
        assert np.abs(level[...].astype(int) - matrix).mean() < 6


def test_a_concatenation_is_one_level(tmp_path):
    matrix = colours((150, 210))
    frames = list(tiles_of(matrix, (32, 48)).values())
    whole, uid = generate_uid(), generate_uid()
    for part, start in enumerate((0, 7, 19)):
        stop = (7, 19, len(frames))[part]
        slide_file(tmp_path / f"{3 - part}.dcm", frames[start:stop], (150, 210), tile=(32, 48), ConcatenationUID=whole,
                   ConcatenationFrameOffsetNumber=start, InConcatenationNumber=part + 1, FrameOfReferenceUID=uid,
                   jpeg=False)  # fmt: skip
    (level,) = slide(tmp_path).levels
    np.testing.assert_array_equal(level[...], matrix)
    (tmp_path / "2.dcm").unlink()  # frames 7 to 18
    found = slide(tmp_path)
    (finding,) = found.findings
    assert (finding.code, finding.details["count"]) == ("missing-tiles", 12)
    assert not found.levels[0].has_tile(1, 2)
    assert (found.levels[0][32:64, 96:144] == 255).all()
    np.testing.assert_array_equal(found.levels[0][:32], matrix[:32])


@pytest.mark.parametrize("jpeg", [False, True])
def test_sparse_tiles(tmp_path, jpeg):
    matrix = colours((150, 210))
    tiles = tiles_of(matrix, (32, 48))
    chosen = [(4, 4), (0, 0), (1, 2), (2, 0)]
    slide_file(tmp_path / "s.dcm", [tiles[at] for at in chosen], (150, 210), tile=(32, 48), full=False, jpeg=jpeg,
               places=[(r * 32, c * 48, 0.0, "1") for r, c in chosen])  # fmt: skip
    found = slide(tmp_path)
    (level,) = found.levels
    assert found.findings == []
    array = level[...]
    expected = np.full_like(matrix, 255)
    for r, c in chosen:
        expected[r * 32 : r * 32 + 32, c * 48 : c * 48 + 48] = matrix[r * 32 : r * 32 + 32, c * 48 : c * 48 + 48]
    assert np.abs(array.astype(int) - expected).max() <= (0 if not jpeg else 60)
    assert np.abs(array.astype(int) - expected).mean() < 2
    level.fill = 0
    assert (level[32:40, :40] == 0).all()
    assert level.has_tile(1, 2)
    assert not level.has_tile(0, 1)


def test_sparse_tiles_beside_the_grid(tmp_path):
    matrix = colours((100, 100))
    places = [(3, 5, 0.0, "1"), (40, 61, 0.0, "1")]
    frames = [matrix[r : r + 32, c : c + 32] for r, c, _, _ in places]
    slide_file(tmp_path / "s.dcm", frames, (100, 100), tile=(32, 32), full=False, places=places)
    (level,) = slide(tmp_path).levels
    expected = np.full_like(matrix, 255)
    for r, c, _, _ in places:
        expected[r : r + 32, c : c + 32] = matrix[r : r + 32, c : c + 32]
    np.testing.assert_array_equal(level[...], expected)
    np.testing.assert_array_equal(level[20:60:3, ::-2], expected[20:60:3, ::-2])


@pytest.mark.parametrize("full", [True, False])
def test_optical_paths_and_focal_planes_are_leading_axes(tmp_path, full):
    rng = np.random.default_rng(1)
    volume = rng.integers(0, 60000, (2, 3, 40, 50)).astype(np.uint16)
    frames, places = [], []
    for a in range(2):
        for b in range(3):
            for (r, c), tile in tiles_of(volume[a, b], (16, 20), fill=0).items():
                frames.append(tile)
                places.append((r * 16, c * 20, b * 2.5, ("DAPI", "FITC")[a]))
    slide_file(tmp_path / "f.dcm", frames, (40, 50), tile=(16, 20), full=full, places=places, planes=3,
               paths=["DAPI", "FITC"])  # fmt: skip
    (level,) = slide(tmp_path).levels
    assert level.dims == ("path", "plane", "y", "x")
    assert level.paths == ["DAPI", "FITC"]
    assert level.chunks == (1, 1, 16, 20)
    np.testing.assert_array_equal(level[...], volume)
    np.testing.assert_array_equal(level[1, ::2, 5:30], volume[1, ::2, 5:30])
    np.testing.assert_array_equal(level[-1, 1, 7], volume[-1, 1, 7])
    np.testing.assert_array_equal(zarr.open_array(slide(tmp_path).store(), path="0", mode="r")[0, 2], volume[0, 2])


def test_as_zarr(made):
    folder, matrices = made
    found = slide(folder)
    group = zarr.open_group(found.store(), mode="r")
    assert sorted(group.array_keys()) == ["0", "1", "2"]
    for number, matrix in enumerate(matrices):
        array = group[str(number)]
        assert array.chunks == (32, 48, 3)
        np.testing.assert_array_equal(array[...], matrix)
    scale = group.attrs["ome"]["multiscales"][0]["datasets"][2]["coordinateTransformations"][0]["scale"]
    assert scale == [0.002, 0.002, 1.0]
    with pytest.raises((ValueError, fi.errors.RefusedError)):
        group["0"][0, 0, 0] = 1


def test_as_dask(made):
    array = pytest.importorskip("dask.array")
    folder, matrices = made
    level = slide(folder).levels[0]
    lazy = array.from_array(level, chunks=level.chunks)
    np.testing.assert_array_equal(lazy[10:90, 5:200].compute(), matrices[0][10:90, 5:200])


def test_what_is_no_slide_is_refused(tmp_path):
    from dicom_maker import image, save

    save(image(np.zeros((4, 4), np.uint16)), tmp_path / "ct.dcm")
    with pytest.raises(fi.errors.FormatError, match="no whole-slide image"):
        slide(tmp_path)
    with pytest.raises(fi.errors.ArgumentError, match="no file"):
        slide([tmp_path / "gone.dcm"])
    one, other = tmp_path / "a", tmp_path / "b"
    one.mkdir()
    pyramid(one, levels=1)
    other.mkdir()
    pyramid(other, levels=1)
    with pytest.raises(fi.errors.FormatError, match="several slides"):
        slide([one / "9.dcm", other / "9.dcm"])
    with pytest.raises(fi.errors.FormatError, match="open it with dicom"):
        fi.dicom.read(one / "9.dcm")


def test_absurd_matrices_are_refused_before_anything_is_allocated(tmp_path):
    frames = [np.zeros((1, 1, 3), np.uint8)]
    slide_file(tmp_path / "s.dcm", frames, (2**31 - 1, 2**31 - 1), tile=(1, 1))
    with pytest.raises(fi.errors.FormatError, match="tiles"):
        slide(tmp_path)


def test_damaged_slides_end_in_a_result_or_an_error_of_ours(tmp_path):
    rng = np.random.default_rng(7)
    matrix = colours((60, 70))
    tiles = tiles_of(matrix, (32, 48))
    slide_file(tmp_path / "full.dcm", list(tiles.values()), (60, 70), tile=(32, 48), jpeg=True)
    slide_file(tmp_path / "sparse.dcm", list(tiles.values()), (60, 70), tile=(32, 48), full=False,
               places=[(r * 32, c * 48, 0.0, "1") for r, c in tiles])  # fmt: skip
    results = {"read": 0, "refused": 0}
    for name in ("full.dcm", "sparse.dcm"):
        whole = (tmp_path / name).read_bytes()
        for _ in range(150):
            data = bytearray(whole)
            head = len(data) if name == "full.dcm" else 3000
            for at in rng.integers(132, head, rng.integers(1, 6)):
                data[at] = rng.integers(0, 256)
            if rng.random() < 0.2:
                del data[int(rng.integers(200, len(data))) :]
            (tmp_path / "mutant").write_bytes(data)
            try:
                for level in slide(tmp_path / "mutant").levels:
                    level[:100, :100]
                results["read"] += 1
            except fi.errors.FastimgError:
                results["refused"] += 1
    assert min(results.values()) > 5
