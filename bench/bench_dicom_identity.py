"""De-identification and the search for what is left, against dicom-anonymizer; contours to voxels against other fillers."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pydicom
import pytest

import fastimg as fi
from fastimg.testing import masks as twin

FILES = "dicom: de-identify, 64 x 64 CT with planted identifiers, bytes to bytes"
SEARCH = "dicom: search 1 MB of JSON for 1,000 identifiers"
FILL = "dicom: 200 contours of 400 points to 100 x 512 x 512 voxels"


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    return fi.synth.hospitals(tmp_path_factory.mktemp("identity") / "tree", patients=1, size=64)


@pytest.fixture(scope="session")
def files(cohort):
    case = cohort.cases[0]
    return [p.read_bytes() for p in sorted((cohort.folder / case.folder).iterdir())], case.identifiers


def left(results, identifiers):
    return sum(len(fi.dicom.residual(r, identifiers)) for r in results)


@pytest.mark.benchmark(group=FILES)
def bench_deidentify_bytes(case, one_thread, files):
    """A new key each time: no UID, patient or table is remembered from an earlier round."""
    sources, identifiers = files
    keys = (number.to_bytes(32, "big") for number in itertools.count())

    def work():
        profile = fi.dicom.Profile(key=next(keys))
        return [fi.dicom.deidentify_bytes(source, profile) for source in sources]

    case(work, items=len(sources), unit="file", nbytes=2 * sum(map(len, sources)), error=left(work(), identifiers))


@pytest.mark.benchmark(group=FILES)
def bench_deidentify_dicom_anonymizer(case, files):
    peer = pytest.importorskip("dicomanonymizer", reason="peer dicom-anonymizer is not installed")
    sources, identifiers = files

    def work():
        results = []
        for source in sources:
            out = io.BytesIO()
            dataset = pydicom.dcmread(io.BytesIO(source))
            peer.anonymize_dataset(dataset, delete_private_tags=True)
            dataset.save_as(out)
            results.append(out.getvalue())
        return results

    case(work, tool="dicom-anonymizer", items=len(sources), unit="file", error=left(work(), identifiers))


@pytest.mark.benchmark(group=f"{FILES}: floor")
def bench_read_and_write_only(case, files):
    """The floor of any tool over pydicom: parse, touch every element, write."""
    sources, _ = files

    def work():
        for source in sources:
            dataset = pydicom.dcmread(io.BytesIO(source))
            for _ in dataset.iterall():
                pass
            dataset.save_as(io.BytesIO())

    case(work, tool="pydicom, nothing changed", items=len(sources), unit="file")


@pytest.mark.benchmark(group=f"{FILES}: floor")
def bench_deidentify_dataset(case, files):
    sources, identifiers = files
    profile = fi.dicom.Profile(key=b"k" * 32)

    def work():
        results = []
        for source in sources:
            out = io.BytesIO()
            fi.dicom.deidentify(pydicom.dcmread(io.BytesIO(source)), profile).save_as(out)
            results.append(out.getvalue())
        return results

    case(
        work,
        tool="deidentify between pydicom's reader and writer",
        items=len(sources),
        unit="file",
        error=left(work(), identifiers),
    )


@pytest.mark.benchmark(group=SEARCH)
def bench_residual(case, one_thread, cohort):
    rng = np.random.default_rng(0)
    text = " ".join(f'"feature_{n}": {rng.normal():.16g},' for n in range(31_000))
    names = set(cohort.identifiers) | {f"Patientname{n:04d}x" for n in range(1000 - len(cohort.identifiers))}
    assert fi.dicom.residual(text + " patientname0007x", names)
    error = len(fi.dicom.residual(text, names))
    case(
        lambda: fi.dicom.residual(text, names), nbytes=len(text), items=len(text), unit="letter", error=error, rounds=3
    )


@pytest.fixture(scope="session")
def contours():
    """Two star-shaped contours a plane, one inside the other."""
    rng = np.random.default_rng(1)
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    drawn = []
    for _ in range(100):
        for size in (180, 90):
            radius = size * (1 + 0.1 * np.sin(5 * angle + rng.uniform(0, 6)) + 0.01 * rng.standard_normal(400))
            drawn.append(np.stack([256 + radius * np.sin(angle), 256 + radius * np.cos(angle)], axis=1))
    return drawn


@pytest.mark.benchmark(group=FILL)
def bench_fill(case, one_thread, contours):
    from fastimg.dicom import _native

    points = np.concatenate(contours)
    starts = np.arange(0, len(points) + 1, 400, dtype=np.int64)
    first = np.arange(0, len(contours) + 1, 2, dtype=np.int64)

    def work():
        return _native.fill_polygons(points, starts, first, 512, 512, 1)

    coarse = [c[::16] / 8 for c in contours[:2]]
    borders = np.array([0, 25, 50], np.int64)
    found = _native.fill_polygons(np.concatenate(coarse), borders, np.array([0, 2], np.int64), 64, 64, 1)[0]
    error = np.abs(found.astype(int) - twin.fill_polygons(coarse, 64, 64)).max()
    case(work, nbytes=100 * 512 * 512, items=100 * 512 * 512, unit="voxel", error=error)


@pytest.mark.benchmark(group=FILL)
def bench_fill_matplotlib(case, contours):
    path = pytest.importorskip("matplotlib.path", reason="peer matplotlib is not installed")
    grid = np.stack(np.mgrid[:512, :512], axis=-1).reshape(-1, 2)

    def work():
        out = np.zeros((5, 512 * 512), np.uint8)
        for n, contour in enumerate(contours[:10]):
            out[n // 2] ^= path.Path(contour).contains_points(grid)
        return out

    case(work, tool="matplotlib (5 planes)", items=5 * 512 * 512, unit="voxel", rounds=1)


@pytest.mark.benchmark(group=FILL)
def bench_fill_pillow(case, contours):
    drawing = pytest.importorskip("PIL.ImageDraw", reason="peer Pillow is not installed")
    picture = pytest.importorskip("PIL.Image", reason="peer Pillow is not installed")

    def work():
        out = np.zeros((100, 512, 512), np.uint8)
        for n, contour in enumerate(contours):
            image = picture.new("1", (512, 512))
            drawing.Draw(image).polygon([tuple(p) for p in contour[:, ::-1]], fill=1)
            out[n // 2] ^= np.asarray(image)
        return out

    case(work, tool="Pillow (another rule at edges)", items=100 * 512 * 512, unit="voxel", rounds=3)
