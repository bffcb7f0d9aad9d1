"""dicom against pydicom, SimpleITK, dicomsdl and imagecodecs: headers, series and codecs. Pages are cached by the first round."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

import fastimg as fi

SLICES, SIZE = 300, 512
PLAYED = os.environ.get("FASTIMG_BENCH_DEVICE") == "host"
SCAN = "dicom: headers of 2,000 files to columns"
NATIVE = "dicom: 300 explicit slices of 512 x 512 to a float32 volume"
RLE = "dicom: 300 RLE slices to a float32 volume"
CODECS = {  # transfer syntax, encoder, decoder
    "JPEG lossless": ("1.2.840.10008.1.2.4.70", lambda a: imagecodecs.jpeg8_encode(a, lossless=True, predictor=1, bitspersample=12), "jpeg8_decode"),
    "JPEG lossless 16-bit": ("1.2.840.10008.1.2.4.70", lambda a: imagecodecs.jpeg8_encode(a, lossless=True, predictor=1, bitspersample=16), "jpeg8_decode"),
    "JPEG-LS": ("1.2.840.10008.1.2.4.80", imagecodecs.jpegls_encode, "jpegls_decode"),
    "HTJ2K": ("1.2.840.10008.1.2.4.201", imagecodecs.htj2k_encode, "htj2k_decode"),
    "JPEG 2000": ("1.2.840.10008.1.2.4.90", lambda a: imagecodecs.jpeg2k_encode(a, reversible=True, level=0, codecformat="j2k"), "jpeg2k_decode"),
}  # fmt: skip


def over_16_bits(volume):
    """The same anatomy over all 16 bits, with noise in the new ones."""
    return (volume * 16 + np.random.default_rng(2).integers(0, 16, volume.shape)).astype(np.uint16)


def slices(count=SLICES):
    """12 bits unsigned like a chest CT: air, a body with two soft values, noise that a codec cannot take out."""
    rng = np.random.default_rng(0)
    y, x = np.ogrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    for k in range(count):
        body = (y**2 + (x / 1.3) ** 2) < 0.4 + 0.1 * np.sin(k / 40)
        smooth = np.where(body, 1060 + 60 * np.sin(9 * x + k / 9) * np.cos(7 * y), 24)
        yield np.clip(smooth + rng.normal(0, 6, (SIZE, SIZE)) * (1 + 2 * body), 0, 4095).astype(np.uint16)


def write(path, k, pixels, series, syntax=ExplicitVRLittleEndian, encode=None):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = f"{series}.{k}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = series + ".1", series, series + ".2"
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "CT", "Maker", "Model"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Name^Given", "ID1", "19500101", "F"
    ds.StudyDate, ds.SeriesDate, ds.AcquisitionDate, ds.StudyTime = "20260101", "20260101", "20260101", "101010"
    ds.InstitutionName, ds.StationName, ds.SeriesDescription, ds.ProtocolName = "Hospital", "CT1", "Chest 1.5", "Chest"
    ds.SliceThickness, ds.KVP, ds.ConvolutionKernel, ds.GantryDetectorTilt = 1.5, 120, "B30f", 0
    ds.InstanceNumber, ds.AcquisitionNumber, ds.SeriesNumber = k + 1, 1, 2
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-180.0, -180.0, -500 + 1.5 * k], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [0.703125, 0.703125]
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = 12 if pixels.max() < 4096 else 16
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, bits, bits - 1, 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = -1024, 1, "HU"
    ds.preamble = b"\0" * 128
    if encode is None:
        ds.PixelData = pixels.tobytes()
        ds["PixelData"].VR = "OW"
    else:
        ds.PixelData = encapsulate([encode(pixels)])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    dcmwrite(path, ds, enforce_file_format=True)


@pytest.fixture(scope="session")
def room():
    """A folder for the series, in memory where there is room."""
    base = "/dev/shm" if os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > 1 << 30 else None
    with tempfile.TemporaryDirectory(dir=base) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def volume():
    return np.stack(list(slices()))


def series_in(room, name, volume, syntax=ExplicitVRLittleEndian, encode=None):
    folder = room / name
    if not folder.exists():
        folder.mkdir()
        uid = generate_uid()[:50]
        order = np.random.default_rng(1).permutation(len(volume))
        for k in range(len(volume)):
            write(folder / f"IM{order[k]:05d}", k, volume[k], uid, syntax, encode)
    return folder


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
    case(lambda: fi.dicom.scan(headers), items=2000, unit="file", nbytes=2000 * 8192)


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


def ours(case, folder, volume):
    out = np.empty(volume.shape, np.float32)
    image = fi.dicom.read(folder, out=out)
    error = np.abs(image.array - (volume.astype(np.float32) - 1024)).max()
    case(lambda: fi.dicom.read(folder, out=out), items=len(volume), unit="slice", nbytes=6 * volume.size, error=error)


def with_pydicom(folder, decode=None):
    files = [pydicom.dcmread(path) for path in folder.iterdir()]
    files.sort(key=lambda ds: ds.ImagePositionPatient[2])
    out = np.empty((len(files), SIZE, SIZE), np.float32)
    for k, ds in enumerate(files):
        stored = (
            ds.pixel_array
            if decode is None
            else decode(next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1)))
        )
        np.multiply(stored, np.float32(ds.RescaleSlope), out=out[k])
        out[k] += np.float32(ds.RescaleIntercept)
    return out


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
    ours(case, series_in(room, "rle", volume, "1.2.840.10008.1.2.5", _rle), volume)


@pytest.mark.benchmark(group=RLE)
def bench_rle_dicomsdl(case, room, volume):  # SimpleITK takes half a minute
    folder = series_in(room, "rle", volume, "1.2.840.10008.1.2.5", _rle)
    case(lambda: with_dicomsdl(folder), tool="dicomsdl", items=SLICES, unit="slice", rounds=3)


def _rle(pixels):
    high, low = ((pixels >> 8).astype(np.uint8), (pixels & 255).astype(np.uint8))
    planes = [imagecodecs.packbits_encode(np.ascontiguousarray(plane)) for plane in (high, low)]
    head = np.zeros(16, "<u4")
    head[:3] = 2, 64, 64 + len(planes[0])
    return head.tobytes() + b"".join(planes)


def _codec_cases(name):
    syntax, encode, decoder = CODECS[name]
    decode = getattr(imagecodecs, decoder)
    count = SLICES if name == "HTJ2K" else 24  # as many as make the work on each series small beside the codec's
    group = f"dicom: {count} {name} slices to a float32 volume"
    two = f"{group}, 2 threads (codec alone: 1)"

    def case_of(case, room, volume):
        volume = wide(volume)
        ours(case, series_in(room, name, volume, syntax, encode), volume)

    def wide(volume):
        return over_16_bits(volume[:count]) if name.endswith("16-bit") else volume[:count]

    @pytest.mark.benchmark(group=group)
    def ours_case(case, one_thread, room, volume):
        case_of(case, room, volume)

    @pytest.mark.benchmark(group=two)
    def ours_two(case, room, volume):
        with fi.config.use(threads=2):
            case_of(case, room, volume)

    def codec_of(case, volume):
        packed = [encode(pixels) for pixels in wide(volume)]
        room = np.empty((SIZE, SIZE), np.uint16)  # used again: new ones would cost page faults

        def work():
            for data in packed:
                decode(data, out=room)

        case(work, tool="imagecodecs (codec only)", items=count, unit="slice", rounds=5)

    @pytest.mark.benchmark(group=group)
    def bare_codec(case, volume):
        codec_of(case, volume)

    @pytest.mark.benchmark(group=two)
    def bare_codec_two(case, volume):
        codec_of(case, volume)

    @pytest.mark.benchmark(group=group)
    def pydicom_imagecodecs(case, room, volume):
        folder = series_in(room, name, wide(volume), syntax, encode)
        case(lambda: with_pydicom(folder, decode), tool="pydicom + imagecodecs", items=count, unit="slice", rounds=3)

    return ours_case, ours_two, bare_codec, bare_codec_two, pydicom_imagecodecs


bench_sv1, bench_sv1_two, bench_sv1_codec, bench_sv1_codec_two, bench_sv1_pydicom = _codec_cases("JPEG lossless")
bench_sv1_16, bench_sv1_16_two, bench_sv1_16_codec, bench_sv1_16_codec_two, bench_sv1_16_pydicom = _codec_cases(
    "JPEG lossless 16-bit"
)
bench_jls, bench_jls_two, bench_jls_codec, bench_jls_codec_two, bench_jls_pydicom = _codec_cases("JPEG-LS")
bench_htj2k, bench_htj2k_two, bench_htj2k_codec, bench_htj2k_codec_two, bench_htj2k_pydicom = _codec_cases("HTJ2K")
bench_j2k, bench_j2k_two, bench_j2k_codec, bench_j2k_codec_two, bench_j2k_pydicom = _codec_cases("JPEG 2000")


# GPU ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.benchmark(group="dicom: GPU, stored values of 300 slices to float32 on the device")
def bench_gpu_rescale(gpu_case, gpu):
    stored = gpu(np.ones((gpu.size(300, 2), gpu.size(SIZE, 8), SIZE), np.uint16))
    out = gpu.xp.empty(stored.shape, np.float32)
    work = lambda: fi.dicom.rescale(stored, 1, -1024, out=out)  # noqa: E731
    gpu_case(work, nbytes=6 * stored.size, items=stored.size, unit="voxel")


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
    stored = gpu(np.ones((gpu.size(300, 4), gpu.size(SIZE, 8), gpu.size(SIZE, 8)), np.int16))
    image, out = fi.Image(stored), gpu.xp.empty((stored.shape[2], *stored.shape[:2]), np.int16)
    works = {
        "fastimg": lambda: fi.dicom.reorient(image, "PSL", out=out),
        "CuPy": lambda: gpu.xp.copyto(out, stored.transpose(2, 0, 1)),
    }
    gpu_case(works[tool], tool=tool, nbytes=4 * stored.size, items=stored.size, unit="voxel")


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
