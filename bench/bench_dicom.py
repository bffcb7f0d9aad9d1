"""dicom against pydicom, SimpleITK and dicomsdl: headers and series. Pages are cached by the first round."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian
from series_maker import CODECS, SIZE, SLICES, ours, rle, series_in, with_pydicom, write

import fastimg as fi

PLAYED = os.environ.get("FASTIMG_BENCH_DEVICE") == "host"
SCAN = "dicom: headers of 2,000 files to columns"
NATIVE = "dicom: 300 explicit slices of 512 x 512 to a float32 volume"
RLE = "dicom: 300 RLE slices to a float32 volume"


@pytest.fixture(scope="session")
def headers(room):
    """2,000 small CT files."""
    folder = room / "headers"
    folder.mkdir()
    for k in range(2000):
        write(folder / f"IM{k:05d}", k, np.zeros((64, 64), np.uint16), f"1.2.3.{k // 100}")
    return folder


# headers ------------------------------------------------------------------------------------------------------------------


@pytest.mark.benchmark(group=SCAN)
def bench_scan(case, one_thread, headers):
    found = fi.dicom.scan(headers).sort_by("path")["series_uid"].to_pylist()
    error = sum(uid != f"1.2.3.{k // 100}" for k, uid in enumerate(found)) + abs(len(found) - 2000)
    case(lambda: fi.dicom.scan(headers), items=2000, unit="file", nbytes=2000 * 8192, error=error)


# The 18 elements that the peers are asked for; fastimg's table has these and about 70 more.
TAGS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "Modality", "StudyDate",
    "SeriesDescription", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "SliceThickness", "Rows", "Columns", "BitsAllocated", "RescaleSlope", "RescaleIntercept",
)  # fmt: skip


@pytest.fixture(scope="session")
def floor(room):
    """bench/floor_dicom.cpp, for this machine."""
    compiler = shutil.which(os.environ.get("CXX", "g++").split()[-1])
    if compiler is None:
        pytest.skip("no C++ compiler for the floor")
    source, library = Path(__file__).with_name("floor_dicom.cpp"), room / "floor.so"
    subprocess.run([compiler, "-O3", "-march=native", "-shared", "-fPIC", source, "-o", library], check=True)
    return ctypes.CDLL(str(library))


def names_of(folder):
    files = [os.fsencode(path) for path in sorted(folder.iterdir())]
    return (ctypes.c_char_p * len(files))(*files), len(files)


@pytest.mark.benchmark(group=SCAN)
def bench_scan_floor(case, headers, floor):
    names, count = names_of(headers)
    tags = (ctypes.c_uint32 * len(TAGS))(*(pydicom.datadict.tag_for_keyword(tag) for tag in TAGS))
    assert floor.walk_headers(names, count, tags, len(TAGS)) == count * len(TAGS)
    case(lambda: floor.walk_headers(names, count, tags, len(TAGS)), tool="bare tag walk in C", items=count, unit="file")


def scan_with_pydicom(path):
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    return [ds.get(tag) for tag in TAGS]


def scan_with_dicomsdl(path):
    ds = pytest.importorskip("dicomsdl", reason="peer dicomsdl is not installed").open_file(str(path))
    return [getattr(ds, tag) for tag in TAGS]


def scan_with_fastdicom(path):
    fastdicom = pytest.importorskip("fastdicom", reason="peer fastdicom is not installed")
    ds = fastdicom.dcmread(str(path), stop_before_pixels=True)
    return [getattr(ds, tag) for tag in TAGS]


@pytest.mark.benchmark(group=SCAN)
@pytest.mark.parametrize(("one", "rounds"), [(scan_with_pydicom, 1), (scan_with_dicomsdl, 3), (scan_with_fastdicom, 5)])
def bench_scan_peers(case, headers, one, rounds):
    tool = f"{one.__name__[10:]} (18 tags)"
    work = lambda: [one(path) for path in sorted(headers.iterdir())]  # noqa: E731
    case(work, tool=tool, items=2000, unit="file", rounds=rounds)


# series -------------------------------------------------------------------------------------------------------------------


def with_simpleitk(folder):
    sitk = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    reader.SetOutputPixelType(sitk.sitkFloat32)
    return reader.Execute()


def with_dicomsdl(folder):
    dicomsdl = pytest.importorskip("dicomsdl", reason="peer dicomsdl is not installed")
    files = [dicomsdl.open_file(str(path)) for path in folder.iterdir()]
    files.sort(key=lambda ds: ds.ImagePositionPatient[2])
    out = np.empty((len(files), SIZE, SIZE), np.float32)
    for k, ds in enumerate(files):
        out[k] = ds.pixelData(storedvalue=False)
    return out


@pytest.mark.benchmark(group=NATIVE)
def bench_native(case, one_thread, room, volume):
    ours(case, series_in(room, "native", volume), volume)


@pytest.mark.benchmark(group=NATIVE)
def bench_native_bare(case, room, volume):
    """In NumPy: each file's bytes in a known order, one conversion into the volume."""
    files = sorted(series_in(room, "native", volume).iterdir())
    out = np.empty(volume.shape, np.float32)
    size = volume[0].nbytes

    def work():
        for k, path in enumerate(files):
            with open(path, "rb", buffering=0) as file:
                file.seek(-size, os.SEEK_END)
                np.subtract(np.frombuffer(file.read(size), np.uint16).reshape(SIZE, SIZE), np.float32(1024), out=out[k])

    case(work, tool="bare read and convert in NumPy", items=SLICES, unit="slice", nbytes=6 * volume.size)


@pytest.mark.benchmark(group=NATIVE)
def bench_native_floor(case, room, volume, floor):
    """The floor in C, likewise: what `fi.dicom.read` adds is finding, sorting and checking."""
    folder = series_in(room, "native", volume)
    order = sorted(
        folder.iterdir(), key=lambda path: pydicom.dcmread(path, specific_tags=["InstanceNumber"]).InstanceNumber
    )
    names = (ctypes.c_char_p * len(order))(*map(os.fsencode, order))
    out = np.empty(volume.shape, np.float32)
    values = volume[0].size
    offsets = (ctypes.c_long * len(order))(*(path.stat().st_size - 2 * values for path in order))
    pointer = out.ctypes.data_as(ctypes.c_void_p)
    work = lambda: floor.read_series(names, SLICES, offsets, values, ctypes.c_float(-1024), pointer)  # noqa: E731
    assert work() == 0
    error = np.abs(out - (volume.astype(np.float32) - 1024)).max()
    case(work, tool="bare read and convert in C", items=SLICES, unit="slice", nbytes=6 * volume.size, error=error)


@pytest.mark.benchmark(group=NATIVE)
@pytest.mark.parametrize("tool", [with_pydicom, with_simpleitk, with_dicomsdl])
def bench_native_peers(case, room, volume, tool):
    folder = series_in(room, "native", volume)
    case(lambda: tool(folder), tool=tool.__name__[5:], items=SLICES, unit="slice", rounds=3)


@pytest.mark.benchmark(group=RLE)
def bench_rle(case, one_thread, room, volume):
    ours(case, series_in(room, "rle", volume, "1.2.840.10008.1.2.5", rle), volume)


@pytest.mark.benchmark(group=RLE)
def bench_rle_dicomsdl(case, room, volume):  # SimpleITK takes half a minute
    folder = series_in(room, "rle", volume, "1.2.840.10008.1.2.5", rle)
    case(lambda: with_dicomsdl(folder), tool="dicomsdl", items=SLICES, unit="slice", rounds=3)


# GPU ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.benchmark(group="dicom: GPU, stored values of 300 slices to float32 on the device")
def bench_gpu_rescale(gpu_case, gpu):
    stored = gpu(np.ones((gpu.size(300, 2), gpu.size(SIZE, 8), SIZE), np.uint16))
    out = gpu.xp.empty(stored.shape, np.float32)
    work = lambda: fi.dicom.rescale(stored, 1, -1024, out=out)  # noqa: E731
    expected = lambda: np.full(stored.shape, -1023, np.float32)  # noqa: E731
    gpu_case(work, nbytes=6 * stored.size, items=stored.size, unit="voxel", expected=expected)


@pytest.mark.gpu
@pytest.mark.benchmark(group="dicom: GPU, stored values of 300 slices to float32 on the device")
def bench_gpu_rescale_cupy(gpu_case, gpu):
    if PLAYED:
        pytest.skip("no CuPy here")
    stored = gpu(np.ones((300, SIZE, SIZE), np.uint16))
    work = lambda: stored.astype(np.float32) * np.float32(1) + np.float32(-1024)  # noqa: E731
    gpu_case(work, tool="CuPy", nbytes=6 * stored.size, items=stored.size, unit="voxel")


@pytest.mark.gpu
@pytest.mark.parametrize("tool", ["fastimg", "CuPy"])
@pytest.mark.benchmark(group="dicom: GPU, 300 slices of int16 with their axes turned (x, z, y)")
def bench_gpu_reorient(gpu_case, gpu, tool):
    shape = (gpu.size(300, 4), gpu.size(SIZE, 8), gpu.size(SIZE, 8))
    values = np.random.default_rng(0).integers(-1000, 3000, shape, np.int16)
    stored = gpu(values)
    image, out = fi.Image(stored), gpu.xp.empty((stored.shape[2], *stored.shape[:2]), np.int16)
    works = {
        "fastimg": lambda: fi.dicom.reorient(image, "PSL", out=out),
        "CuPy": lambda: (gpu.xp.copyto(out, stored.transpose(2, 0, 1)), out)[1],
    }
    expected = lambda: values.transpose(2, 0, 1)  # noqa: E731
    gpu_case(works[tool], tool=tool, nbytes=4 * stored.size, items=stored.size, unit="voxel", expected=expected)


@pytest.fixture(scope="session")
def few(volume, gpu):
    return volume[: gpu.size(SLICES, 3)]


GPU_SERIES = {
    "native": (ExplicitVRLittleEndian, None),
    "JPEG lossless": CODECS["JPEG lossless"][:2],
    "HTJ2K": CODECS["HTJ2K"][:2],
    "JPEG 2000": CODECS["JPEG 2000"][:2],
}


def _gpu_cases(name):
    syntax, encode = GPU_SERIES[name]
    group = f"dicom: GPU, {name} series to a volume on the device"

    def timed(case, gpu, room, few, work, tool):
        folder = series_in(room, f"gpu {name}", few, syntax, encode)
        error = float(np.abs(fi._dispatch.move(work(folder), "cpu") - (few.astype(np.float32) - 1024)).max())

        def complete():
            work(folder)
            if not PLAYED:
                gpu.xp.cuda.get_current_stream().synchronize()

        case(complete, tool=tool, items=len(few), unit="slice", nbytes=6 * few.size, error=error, rounds=3)

    @pytest.mark.gpu
    @pytest.mark.benchmark(group=group)
    def straight(case, gpu, room, few):
        timed(case, gpu, room, few, lambda folder: fi.dicom.read(folder, device="cuda").array, "fastimg")

    @pytest.mark.gpu
    @pytest.mark.benchmark(group=group)
    def by_the_cpu(case, gpu, room, few):
        work = lambda folder: gpu(fi.dicom.read(folder).array)  # noqa: E731
        timed(case, gpu, room, few, work, "fastimg on the CPU, then copied")

    return straight, by_the_cpu


bench_gpu_native, bench_gpu_native_cpu = _gpu_cases("native")
bench_gpu_sv1, bench_gpu_sv1_cpu = _gpu_cases("JPEG lossless")
bench_gpu_htj2k, bench_gpu_htj2k_cpu = _gpu_cases("HTJ2K")
bench_gpu_j2k, bench_gpu_j2k_cpu = _gpu_cases("JPEG 2000")
