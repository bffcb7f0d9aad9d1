"""dicom.pixels against pydicom's pixel_array, and against the arrays that files were made of."""

from __future__ import annotations

import contextlib
import struct
import warnings
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from dicom_maker import compressed, element, header, image, part10, save
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydicom.pixels import get_decoder

import fastimg as fi
from fastimg.dicom import _native
from fastimg.testing import dicom as twin

PYDICOM = Path(pydicom.__file__).parent / "data"
FILES = sorted(p for p in PYDICOM.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc"))
RLE, JPEG, SV1, JLS, J2K = (
    "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
)  # fmt: skip


def pydicoms(path):
    """pixel_array, or None where pydicom cannot decode the file here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return pydicom.dcmread(path, force=True).pixel_array
        except Exception:
            return None


def lossy(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path, force=True).file_meta.TransferSyntaxUID in (JPEG, "1.2.840.10008.1.2.4.51")


def plugins_of(ds):
    """pydicom's decoders of a file that are installed."""
    try:
        return get_decoder(ds.file_meta.TransferSyntaxUID).available_plugins
    except (AttributeError, NotImplementedError):
        return ()


def test_equals_pydicom_on_every_file_that_it_ships_and_decodes(accuracy):
    """By the decoder that pydicom chooses; where nothing is lost, by each that is installed."""
    compared = 0
    for path in FILES:
        wanted = pydicoms(path)
        if wanted is None:
            continue
        seen = fi.dicom.pixels(path)
        assert (seen.shape, seen.dtype) == (wanted.shape, wanted.dtype), path.name
        kind = "baseline and extended JPEG" if lossy(path) else "every lossless and native encoding"
        accuracy(f"DICOM pixels, {kind}", "pydicom", seen, wanted, of="grey level", scale=1.0)
        compared += 1
        if lossy(path):
            assert np.abs(seen.astype(int) - wanted).max() <= 1, path.name
            continue
        np.testing.assert_array_equal(seen, wanted, path.name)
        ds = pydicom.dcmread(path, force=True)
        for plugin in plugins_of(ds):
            with contextlib.suppress(RuntimeError, ValueError):  # this one cannot
                wanted = get_decoder(ds.file_meta.TransferSyntaxUID).as_array(ds, decoding_plugin=plugin)[0]
            np.testing.assert_array_equal(seen, wanted, f"{path.name}, {plugin}")
    assert compared >= 70


def encoders():
    """For each transfer syntax that pydicom 3 decodes, what writes a frame of it; None: pydicom writes it itself."""
    jpeg, ls, j2k = imagecodecs.jpeg8_encode, imagecodecs.jpegls_encode, imagecodecs.jpeg2k_encode
    return {
        **dict.fromkeys(("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")),
        RLE: twin.rle_frame,
        JPEG: lambda a: jpeg(a.astype(np.uint8), level=95),
        "1.2.840.10008.1.2.4.51": lambda a: jpeg(a, level=95, bitspersample=12),
        "1.2.840.10008.1.2.4.57": lambda a: jpeg(a, lossless=True, predictor=4, bitspersample=16),
        SV1: lambda a: jpeg(a, lossless=True, bitspersample=16),
        JLS: ls,
        "1.2.840.10008.1.2.4.81": lambda a: ls(a, level=2),
        J2K: lambda a: j2k(a, reversible=True, level=0, codecformat="j2k"),
        "1.2.840.10008.1.2.4.91": lambda a: j2k(a, level=90, codecformat="j2k"),
        **dict.fromkeys((f"1.2.840.10008.1.2.4.{n}" for n in (201, 202)), imagecodecs.htj2k_encode),
        "1.2.840.10008.1.2.4.203": lambda a: imagecodecs.htj2k_encode(a, level=1e-4),
    }


def test_every_syntax_of_pydicom_is_in_the_table():
    known = {
        str(one.UID)
        for name, one in vars(pydicom.pixels.decoders).items()
        if name.endswith("Decoder") and name != "Decoder"
    }
    assert known == set(encoders())


# What the encoder was allowed to lose; the others nothing.
ALLOWED = {
    JPEG: 8, "1.2.840.10008.1.2.4.51": 40, "1.2.840.10008.1.2.4.81": 2, "1.2.840.10008.1.2.4.91": 16,
    "1.2.840.10008.1.2.4.203": 16,
}  # fmt: skip


@pytest.mark.parametrize("syntax", encoders())
def test_every_syntax_that_pydicom_decodes(tmp_path, syntax):
    """Against the array that was encoded, and each of pydicom's decoders that is installed."""
    y, x = np.mgrid[:48, :56]
    top = 255 if syntax == JPEG else 4095
    pixels = np.clip(top / 2 * (1 + np.sin(x / 9) * np.cos(y / 7)), 0, top).astype(
        np.uint8 if syntax == JPEG else np.uint16
    )
    bits = 8 if syntax == JPEG else 12 if syntax in ALLOWED else 16
    ds = image(pixels, BitsStored=bits, HighBit=bits - 1)
    encode = encoders()[syntax]
    if syntax == "1.2.840.10008.1.2.2":
        ds.PixelData = pixels.astype(">u2").tobytes()  # pydicom writes bytes as they are
    path = tmp_path / "x.dcm"
    if encode is None:
        save(ds, path, syntax)
    else:
        compressed(ds, [encode(pixels)], syntax, path)
    seen = fi.dicom.pixels(path)
    assert (seen.shape, seen.dtype.newbyteorder("=")) == (pixels.shape, pixels.dtype)
    assert np.abs(seen.astype(int) - pixels).max() <= ALLOWED.get(syntax, 0)
    read = pydicom.dcmread(path)
    for plugin in plugins_of(read):
        with contextlib.suppress(RuntimeError, ValueError):  # this one cannot
            wanted = get_decoder(syntax).as_array(read, decoding_plugin=plugin)[0]
            assert np.abs(seen.astype(int) - wanted).max() <= (1 if syntax in ALLOWED else 0), plugin


# Files in pairs: the second is the first one, compressed without loss (pydicom's README and SOP instances say so).
PAIRS = [
    ("MR_small.dcm", "MR_small_RLE.dcm"), ("MR_small.dcm", "MR_small_jp2klossless.dcm"),
    ("MR_small.dcm", "MR_small_jpeg_ls_lossless.dcm"), ("MR_small.dcm", "MR_small_bigendian.dcm"),
    ("SC_rgb_rle.dcm", "SC_rgb_jpeg_gdcm.dcm"), ("rtdose.dcm", "rtdose_rle.dcm"), ("rtdose.dcm", "rtdose_expb.dcm"),
]  # fmt: skip


@pytest.mark.parametrize(("plain", "packed"), PAIRS)
def test_same_image_in_other_encodings(plain, packed):
    folder = PYDICOM / "test_files"
    np.testing.assert_array_equal(fi.dicom.pixels(folder / plain), fi.dicom.pixels(folder / packed))


def test_signedness_that_the_codestream_denies():
    """Header signed, JPEG 2000 codestream unsigned: -2000 is the padding outside a CT's circle."""
    pixels = fi.dicom.pixels(PYDICOM / "test_files" / "J2K_pixelrep_mismatch.dcm")
    assert pixels.dtype == np.int16
    assert pixels.min() == -2000
    assert pixels[0, 0] == -2000


@pytest.mark.parametrize("name", ["rtplan.dcm", "DICOMDIR", "reportsi.dcm"])
def test_files_without_pixels_are_refused(name):
    path = next(p for p in FILES if p.name == name)
    with pytest.raises(fi.errors.FormatError, match="not-image"):
        fi.dicom.pixels(path)


def test_what_cannot_be_decoded_names_its_code(tmp_path):
    with pytest.raises(fi.errors.FormatError, match="damaged-file: the pixel data are cut off"):
        fi.dicom.pixels(PYDICOM / "test_files" / "MR_truncated.dcm")
    with pytest.raises(fi.errors.FormatError, match="not-dicom"):
        fi.dicom.pixels(PYDICOM / "test_files" / "README.txt")
    with pytest.raises(fi.errors.ArgumentError, match="no file"):
        fi.dicom.pixels(tmp_path / "absent.dcm")
    path = compressed(image(np.zeros((4, 4), np.uint8)), [b"abcd"], "1.2.840.10008.1.2.4.102", tmp_path / "mpeg.dcm")
    with pytest.raises(fi.errors.FormatError, match="unsupported-syntax"):
        fi.dicom.pixels(path)


# layouts ----------------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    pixels=hnp.arrays(
        st.sampled_from([np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32]),
        st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])),
    ),
    big=st.booleans(),
    planar=st.booleans(),
    threads=st.integers(1, 3),
)
def test_native_layouts(tmp_path_factory, pixels, big, planar, threads):
    frames, samples = pixels.shape[0], pixels.shape[3]
    stored = np.moveaxis(pixels, 3, 1) if planar and samples == 3 else pixels
    ds = image(pixels[0, :, :, 0] if samples == 1 else pixels[0])
    words = stored.astype(stored.dtype.newbyteorder(">" if big else "<")).tobytes()
    ds.PixelData = words + b"\0" * (len(words) % 2)
    ds.NumberOfFrames = frames
    if samples == 3:
        ds.PlanarConfiguration = int(planar)
    path = tmp_path_factory.mktemp("p") / "x.dcm"
    raw = save_raw(ds, path, "1.2.840.10008.1.2.2" if big else "1.2.840.10008.1.2.1")
    wanted = pixels[..., 0] if samples == 1 else pixels
    seen = fi.dicom.pixels(raw, threads=threads)
    np.testing.assert_array_equal(seen, wanted[0] if frames == 1 else wanted)
    reference = pydicoms(raw)
    if reference is not None:
        assert seen.dtype == reference.dtype
        np.testing.assert_array_equal(seen, reference)


def save_raw(ds, path, syntax):
    if syntax.endswith(".2.2"):
        ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 else "OW"
    return save(ds, path, syntax)


def test_big_endian_bytes_in_words(tmp_path):
    """8-bit pixels as OW in big endian: each pair of bytes is swapped, over odd frames too."""
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    ds = image(pixels[0])
    ds.NumberOfFrames = 2
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    path = save(ds, tmp_path / "x.dcm")
    raw = path.read_bytes()
    swapped = np.frombuffer(pixels.tobytes(), "<u2").byteswap().tobytes()
    assert raw.count(pixels.tobytes()) == 1
    ds.PixelData = swapped
    path = save(ds, tmp_path / "y.dcm", "1.2.840.10008.1.2.2")
    np.testing.assert_array_equal(fi.dicom.pixels(path), pixels)
    np.testing.assert_array_equal(pydicoms(path), pixels)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("stored", "high"), [(12, 11), (12, 15), (12, 13)])
def test_overlay_in_unused_bits_and_high_bit(tmp_path, signed, stored, high):
    words = np.random.default_rng(3).integers(0, 65536, (8, 9)).astype(np.uint16)
    ds = image(words.view(np.int16) if signed else words, BitsStored=stored, HighBit=high)
    seen = fi.dicom.pixels(save(ds, tmp_path / "x.dcm"))
    expected = [twin.stored_bits(int(word), 16, stored, high, signed) for word in words.ravel()]
    np.testing.assert_array_equal(seen.ravel(), expected)


@pytest.mark.parametrize("size", [(3, 3), (5, 7), (8, 8)])
def test_one_bit_frames_that_do_not_end_on_bytes(tmp_path, size):
    bits = np.random.default_rng(4).integers(0, 2, (5, *size)).astype(np.uint8)
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    ds = image(
        bits[0],
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        NumberOfFrames=5,
        PixelData=packed + b"\0" * (len(packed) % 2),
    )
    path = save(ds, tmp_path / "x.dcm")
    np.testing.assert_array_equal(fi.dicom.pixels(path), bits)
    np.testing.assert_array_equal(pydicoms(path), bits)


@pytest.mark.parametrize(("kind", "name"), [(np.float32, "FloatPixelData"), (np.float64, "DoubleFloatPixelData")])
def test_float_pixels(tmp_path, kind, name):
    values = np.random.default_rng(5).normal(size=(4, 6)).astype(kind)
    ds = image(values)
    ds.BitsAllocated = 8 * values.itemsize
    setattr(ds, name, values.tobytes())
    path = save(ds, tmp_path / "x.dcm")
    seen = fi.dicom.pixels(path)
    assert seen.dtype == kind
    np.testing.assert_array_equal(seen, values)


def test_more_frames_than_the_header_says(tmp_path):
    pixels = np.arange(3 * 16, dtype=np.uint16).reshape(3, 4, 4)
    path = save(image(pixels[0], NumberOfFrames=2, PixelData=pixels.tobytes()), tmp_path / "x.dcm")
    np.testing.assert_array_equal(fi.dicom.pixels(path), pixels)
    np.testing.assert_array_equal(pydicoms(path), pixels)


# RLE ---------------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    pixels=hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int16, np.uint32]),
        st.tuples(st.integers(1, 12), st.integers(1, 40), st.sampled_from([1, 3])),
        elements=st.sampled_from([0, 1, 2, 77, 100]),
    )
)
def test_rle_frames_decode_to_what_was_encoded(pixels):
    frame = twin.rle_frame(pixels)
    rows, columns, samples = pixels.shape
    seen = _native.rle_decode(frame, rows * columns, samples, pixels.dtype.itemsize)
    np.testing.assert_array_equal(np.frombuffer(seen, pixels.dtype).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("cut", [3, 40, 64, 70])
def test_rle_that_ends_early_is_refused(tmp_path, cut):
    pixels = np.arange(400, dtype=np.uint16).reshape(20, 20)
    frame = twin.rle_frame(pixels)
    path = compressed(image(pixels), [frame[:-cut]], RLE, tmp_path / "x.dcm")
    with pytest.raises(fi.errors.FormatError, match="decode-failed"):
        fi.dicom.pixels(path)


# encapsulation -------------------------------------------------------------------------------------------------------------

CODECS = {
    RLE: twin.rle_frame,
    SV1: lambda a: imagecodecs.jpeg8_encode(a, lossless=True, bitspersample=16),
    JLS: imagecodecs.jpegls_encode,
    J2K: lambda a: imagecodecs.jpeg2k_encode(a, reversible=True, level=0, codecformat="j2k"),
    "1.2.840.10008.1.2.4.201": imagecodecs.htj2k_encode,
    "1.2.840.10008.1.2.8.1": lambda a: deflated(a.tobytes()),
}  # fmt: skip


def deflated(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("table", ["basic", "extended", "no"])
@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("syntax", CODECS)
def test_offset_tables_and_fragments(tmp_path, syntax, table, fragments):
    if fragments > 1 and (table == "extended" or (table == "no" and syntax in (RLE, "1.2.840.10008.1.2.8.1"))):
        pytest.skip("nothing says where a frame ends")
    volume = np.random.default_rng(6).integers(0, 4000, (4, 40, 31)).astype(np.uint16)
    frames = [CODECS[syntax](frame) for frame in volume]
    ds = image(volume[0], NumberOfFrames=4)
    path = compressed(ds, frames, syntax, tmp_path / "x.dcm", table=table, fragments=fragments)
    for threads in (1, 3):
        np.testing.assert_array_equal(fi.dicom.pixels(path, threads=threads), volume)
    one = compressed(image(volume[1]), frames[1:2], syntax, tmp_path / "y.dcm", table=table, fragments=fragments)
    np.testing.assert_array_equal(fi.dicom.pixels(one), volume[1])
    np.testing.assert_array_equal(fi.dicom.read(one, dtype="exact").array[0], volume[1].astype(np.int32) - 1024)


def test_delimiters_inside_a_fragment(tmp_path):
    """Bytes that look like item and sequence delimiters are data: lengths rule."""
    pixels = np.frombuffer(struct.pack("<HHIHHI", 0xFFFE, 0xE0DD, 0, 0xFFFE, 0xE000, 4) * 8, np.uint8).reshape(8, 16)
    path = compressed(image(pixels), [twin.rle_frame(pixels)], RLE, tmp_path / "x.dcm")
    np.testing.assert_array_equal(fi.dicom.pixels(path), pixels)


def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(tmp_path):
    frame = imagecodecs.jpegls_encode(np.zeros((64, 64), np.uint16))
    path = compressed(image(np.zeros((32, 32), np.uint16)), [frame], JLS, tmp_path / "x.dcm")
    with pytest.raises(fi.errors.FormatError, match="64x64 with 1 sample"):
        fi.dicom.pixels(path)


# deflate ------------------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    body=st.one_of(
        st.binary(max_size=5000),
        st.builds(lambda b, n: b * n, st.binary(min_size=1, max_size=20), st.integers(1, 5000)),
    ),
    level=st.integers(0, 9),
    strategy=st.sampled_from([zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE]),
)
def test_inflate_equals_zlib(body, level, strategy):
    packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    packed = packer.compress(body) + packer.flush()
    assert _native.inflate(packed, len(body)) == body
    assert _native.inflate(packed, len(body) // 2)[: len(body) // 2] == body[: len(body) // 2]


def test_deflated_data_sets(tmp_path):
    volume = np.random.default_rng(7).integers(0, 100, (3, 64, 64)).astype(np.uint16)
    raw = header(64, 64, frames=3) + element(0x7FE0, 0x10, "OW", volume.tobytes())
    (tmp_path / "x").write_bytes(part10(deflated(raw), "1.2.840.10008.1.2.1.99"))
    np.testing.assert_array_equal(fi.dicom.pixels(tmp_path / "x"), volume)
    (tmp_path / "y").write_bytes(part10(deflated(raw)[:-200], "1.2.840.10008.1.2.1.99"))
    assert fi.dicom.scan(tmp_path)["status"].to_pylist() == ["image", "damaged"]
