"""The public names, used as the documentation shows them: one short story from files to a federated answer."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

import fastimg as fi


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three hospitals, few patients."""
    folder = tmp_path_factory.mktemp("dicom")
    return fi.synth.hospitals(folder / "tree", patients=3, size=48, seed=5)


@pytest.fixture(scope="module")
def image(folder):
    (series,) = [s for s in fi.dicom.series(folder.folder) if s.uid == folder.cases[0].series_uid]
    return fi.dicom.read(series)


def test_images(image, tmp_path):
    pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    again = fi.Image.from_sitk(image.to_sitk())
    np.testing.assert_array_equal(again.array, image.array)
    np.testing.assert_allclose(again.affine, image.affine, atol=1e-9)
    image.to_nifti(tmp_path / "a.nii.gz")
    back = fi.Image.from_nifti(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(back.affine, image.affine, atol=1e-4)
    assert image.to_device("cpu") is not None
    assert (image.device, image.unit) == ("cpu", "HU")


def test_dicom(folder, image):
    table = fi.dicom.scan(folder.folder)
    assert isinstance(table, pa.Table)
    assert {"path", "series_uid", "status", "finding"} <= set(table.column_names)
    series = fi.dicom.series(table)
    found = {s.uid: s for s in series}
    case = folder.cases[0]
    assert found[case.series_uid].modality == "CT"
    assert image.shape == case.shape
    assert image.dtype == np.float32
    exact = fi.dicom.read(found[case.series_uid], dtype="exact")
    assert exact.dtype.kind in "iu"
    np.testing.assert_array_equal(exact.array, image.array)
    stored = fi.dicom.pixels(found[case.series_uid].files[0])
    assert stored.shape == image.shape[1:]
    masks = fi.dicom.read_masks(folder.folder / case.mask_file, like=image)
    (mask,) = masks.values()
    assert mask.dtype == np.uint8
    assert mask.same_grid(image)
    assert mask.array.any()


def test_resample(image):
    out = fi.resample(image, spacing=(2, 2, 2), order="linear")
    assert out.spacing == pytest.approx((2, 2, 2))
    for order in ("nearest", "cubic"):
        assert fi.resample(image, like=out, order=order).same_grid(out)
    assert fi.resample(image, affine=out.affine, shape=out.shape).same_grid(out)


def test_harmonize_images(image):
    inside = image.array > -500
    z = fi.harmonize.zscore(image, mask=inside)
    assert z.array[inside].mean() == pytest.approx(0, abs=1e-3)
    p = fi.harmonize.percentile(image, low=1, high=99)
    assert p.array.min() >= 0
    assert fi.harmonize.window(image, low=-160, high=240).array.max() <= 1
    nyul = fi.harmonize.Nyul().fit([image, z.with_array(image.array * 2 + 5)])
    assert nyul.transform(image).shape == image.shape
    assert fi.harmonize.WhiteStripe() is not None
    assert fi.harmonize.match_histogram(image, image).shape == image.shape


def test_combat_and_radiomics(image, folder):
    series = {s.uid: s for s in fi.dicom.series(folder.folder)}
    mask = next(iter(fi.dicom.read_masks(folder.folder / folder.cases[0].mask_file, like=image).values()))
    settings = fi.radiomics.Settings(bin_width=25, compat="ibsi")
    features = fi.radiomics.extract(image, mask, settings, names="pyradiomics")
    assert "original_glcm_Contrast" in features
    assert all(isinstance(v, float) for v in features.values())
    tags = fi.radiomics.extract(image, mask, settings, names="ibsi")
    assert "stat_mean" in tags
    x = np.random.default_rng(0).normal(size=(30, 4))
    site = np.repeat(["a", "b", "c"], 10)
    seen = fi.harmonize.ComBat().fit(x, batch=site).transform(x, batch=site)
    assert seen.shape == x.shape
    assert len(series) > 0


def test_secagg():
    vectors = {i: np.arange(5, dtype=np.float64) * (i + 1) for i in range(3)}
    clients = {i: fi.secagg.Client(i, v, n=3, threshold=2, bits=32, clip=100.0) for i, v in vectors.items()}
    server = fi.secagg.Server(n=3, threshold=2, length=5)
    for client in clients.values():
        server.receive(client.start())
    while messages := server.advance():
        for node, message in messages.items():
            answer = clients[node].receive(message)
            if answer is not None:
                server.receive(answer)
    value, survivors = server.result()
    np.testing.assert_allclose(value, sum(vectors.values()), atol=1e-6)
    assert sorted(survivors) == [0, 1, 2]
    masked = fi.secagg.mask(np.ones(4, np.float32), [bytes(32)], [1], bits=20, clip=2.0)
    assert masked.dtype.kind == "u"


def test_cohort_and_federation(tmp_path):
    nodes = []
    rng = np.random.default_rng(1)
    pooled = []
    for site in "ABC":
        cohort = fi.Cohort.create(tmp_path / site)
        for n in range(12):
            voxels = rng.integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
            pooled.append(voxels)
            image = fi.Image(voxels, spacing=(2, 1, 1), unit="HU")
            metadata = {"site": site, "subject": f"{site}{n}", "modality": "CT", "batch": site}
            cohort.add(f"case-{n:02d}", image, {"lesion": voxels > 500}, metadata, source=f"{site}{n}")
        assert cohort.index.num_rows == 12
        assert cohort.query("select count(*) as n from cases").to_pylist() == [{"n": 12}]
        assert cohort["case-00"].image().shape == (4, 5, 6)
        assert cohort["case-00"].read(np.s_[1:2]).shape == (1, 5, 6)
        assert cohort.verify(full=True).ok
        nodes.append(fi.federated.Node(fi.Cohort.open(tmp_path / site), fi.federated.Policy(min_cases=10)))
    federation = fi.federated.Federation.local(nodes)
    result = federation.run("histogram", bins=4, range=(-1024, 1024), secure=True)
    expected, _ = np.histogram(np.stack(pooled), bins=4, range=(-1024, 1024))
    np.testing.assert_array_equal(np.asarray(result.value["counts"]), expected)
    assert len(result.nodes) == 3
    json.dumps(result.provenance)
    assert result.privacy


def test_a_user_registers_a_computation():
    assert callable(fi.federated.computation)
