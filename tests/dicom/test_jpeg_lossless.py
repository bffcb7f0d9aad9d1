"""The decoder of lossless JPEG: against its slow twin, against libjpeg-turbo, and on streams made to break it."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from dicom_maker import compressed, image
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastimg as fi
from fastimg.dicom import _codecs, _layout, _native, _pixels
from fastimg.testing import jpeg as twin

SV1, P14 = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.57"
FLAT = (5,) * 17  # every size has a code of five bits
LONG = (1, 16, 16, 2, 16, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)  # codes longer than any lookup table


def ours(data, shape):
    rows, columns, samples = shape if len(shape) == 3 else (*shape, 1)
    raw = _native.jpeg_lossless(data, rows, columns, samples)
    wide = len(raw) == 2 * rows * columns * samples
    return np.frombuffer(raw, np.uint16 if wide else np.uint8).reshape(shape)


def turbo(data, samples):
    space = {} if samples == 1 else {"colorspace": "RGB", "outcolorspace": "RGB"}
    return imagecodecs.jpeg8_decode(data, **space)


@st.composite
def images(draw):
    precision = draw(st.integers(2, 16))
    samples = draw(st.sampled_from([1, 1, 3]))
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 20))
    top = (1 << precision) - 1
    steps = st.one_of(st.integers(0, top), st.sampled_from([0, top, top // 2]))
    pixels = draw(hnp.arrays(np.uint16, (rows, columns, samples), elements=steps))
    return pixels, precision


@settings(max_examples=150, deadline=None)
@given(
    case=images(),
    predictor=st.integers(1, 7),
    shift=st.integers(0, 3),
    restart=st.integers(0, 3),
    interleaved=st.booleans(),
    tables=st.sampled_from([(twin.LENGTHS,), (FLAT,), (LONG,), (twin.LENGTHS, FLAT), (LONG, FLAT, twin.LENGTHS)]),
    level=st.sampled_from(fi.config.supported_isa()),
)
def test_equals_the_twin_and_libjpeg_turbo(case, predictor, shift, restart, interleaved, tables, level):
    pixels, precision = case
    shift = min(shift, precision - 1)
    data = twin.lossless_encode(
        pixels,
        precision=precision,
        predictor=predictor,
        shift=shift,
        restart=restart,
        interleaved=interleaved,
        tables=tables,
    )
    wanted = pixels >> shift << shift
    np.testing.assert_array_equal(twin.lossless_decode(data), wanted)
    with fi.config.use(isa=level):
        np.testing.assert_array_equal(ours(data, pixels.shape), wanted)
    np.testing.assert_array_equal(turbo(data, pixels.shape[2]).reshape(pixels.shape), wanted)


@pytest.mark.parametrize("precision", [8, 12, 16])
@pytest.mark.parametrize("predictor", range(1, 8))
def test_streams_of_libjpeg_turbo(precision, predictor):
    """Its encoder fits the tables to the image: short codes (several differences a lookup) and long ones."""
    rng = np.random.default_rng(predictor)
    top = (1 << precision) - 1
    y, x = np.mgrid[:90, :110]
    for noise in (0.3, 40, top / 3):
        pixels = np.clip(x * 5 + y * 3 + rng.normal(0, noise, x.shape), 0, top)
        pixels = pixels.astype(np.uint8 if precision == 8 else np.uint16)
        data = imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=predictor, bitspersample=precision)
        np.testing.assert_array_equal(ours(data, pixels.shape), pixels)


@pytest.mark.parametrize("level", fi.config.supported_isa())
@pytest.mark.parametrize("frames", [1, 2, 4])
def test_three_differences_that_take_more_bits_than_a_refill_leaves(tmp_path, frames, level):
    """Codes of 5 bits with 11 to 15 more: three take 48 to 60 bits, a refill leaves 56 to 63. (Lost a bit until mended.)"""
    rng = np.random.default_rng(frames)
    sizes = rng.integers(11, 16, (frames, 40, 50))
    steps = rng.integers(1 << sizes - 1, 1 << sizes) * rng.choice([-1, 1], sizes.shape)
    volume = np.cumsum(steps, axis=2).astype(np.uint16)  # modulo 2^16, as the differences are
    streams = [twin.lossless_encode(f, precision=16, predictor=1, tables=(FLAT,)) for f in volume]
    path = compressed(image(volume[0], NumberOfFrames=frames), streams, SV1, tmp_path / "x.dcm")
    with fi.config.use(isa=level):
        np.testing.assert_array_equal(fi.dicom.pixels(path, threads=1).reshape(volume.shape), volume)


@pytest.mark.parametrize("threads", [1, 3])
def test_frames_in_turns(tmp_path, threads):
    """Frames of different statistics side by side, one with restarts, one cut off."""
    rng = np.random.default_rng(4)
    volume = rng.integers(0, 4096, (11, 70, 61)).astype(np.uint16)
    volume[::2] >>= 9
    frames = [imagecodecs.jpeg8_encode(f, lossless=True, predictor=1, bitspersample=12) for f in volume]
    frames[3] = twin.lossless_encode(volume[3], precision=12, predictor=6, restart=7)
    ds = image(volume[0], NumberOfFrames=11, BitsStored=12, HighBit=11)
    path = compressed(ds, frames, P14, tmp_path / "x.dcm")
    np.testing.assert_array_equal(fi.dicom.pixels(path, threads=threads), volume)
    seen = fi.dicom.read(path, threads=threads, tolerate="no-geometry").array
    np.testing.assert_array_equal(seen, volume.astype(np.float32) - 1024)
    frames[5] = frames[5][: len(frames[5]) // 2]  # libjpeg-turbo makes up the rest: not here
    path = compressed(ds, frames, P14, tmp_path / "y.dcm")
    with pytest.raises(fi.errors.FormatError, match=r"decode-failed: frame 5: .* cut off"):
        fi.dicom.pixels(path, threads=threads)
    with pytest.raises(fi.errors.FormatError, match=r"decode-failed: slice 5: .* cut off"):
        fi.dicom.read(path, threads=threads, tolerate="no-geometry")


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("allocated", "stored"), [(8, 8), (8, 6), (16, 8), (16, 12), (16, 16)])
def test_bits_and_signs_equal_the_codecs(tmp_path, allocated, stored, signed):
    rng = np.random.default_rng(stored)
    words = rng.integers(0, 1 << stored, (20, 30)).astype(f"u{allocated // 8}")
    data = twin.lossless_encode(words, precision=stored)
    ds = image(words.view(f"i{allocated // 8}") if signed else words, BitsStored=stored, HighBit=stored - 1)
    path = compressed(ds, [data], SV1, tmp_path / "x.dcm")
    row = _pixels.row_of(path)
    layout = _layout.layout_of(row, str(path))
    wanted = _codecs._conformed(turbo(data, 1), layout, _codecs._jpeg_header(data))
    np.testing.assert_array_equal(_codecs.decode(data, layout), wanted)
    seen = fi.dicom.pixels(path)
    assert seen.dtype == wanted.dtype
    np.testing.assert_array_equal(seen, wanted)
    expected = words.astype(np.int64) - (((words >> (stored - 1)) & 1).astype(np.int64) << stored if signed else 0)
    np.testing.assert_array_equal(seen, expected)


def test_three_samples(tmp_path):
    pixels = np.random.default_rng(5).integers(0, 256, (17, 23, 3)).astype(np.uint8)
    for interleaved in (True, False):
        data = twin.lossless_encode(pixels, precision=8, interleaved=interleaved, tables=(twin.LENGTHS, FLAT))
        path = compressed(image(pixels), [data], SV1, tmp_path / "x.dcm")
        np.testing.assert_array_equal(fi.dicom.pixels(path), pixels)


# hostile streams --------------------------------------------------------------------------------------------------------


def stream(**more):
    pixels = np.random.default_rng(6).integers(0, 4096, (16, 16)).astype(np.uint16)
    return twin.lossless_encode(pixels, precision=12, **more)


def test_every_cut_is_refused():
    """A stream that ends anywhere before its last difference; nothing is read behind the end."""
    for data in (stream(), stream(restart=4)):
        for cut in range(len(data) - 2):
            with pytest.raises(RuntimeError):
                _native.jpeg_lossless(data[:cut], 16, 16, 1)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"\xff\xc3", b"\xff\xc1", "sequential DCT"),
        (b"\xff\xc3", b"\xff\xcb", "arithmetic coding"),
        (b"\xff\xda\x00\x08\x01\x01\x00\x01", b"\xff\xda\x00\x08\x01\x01\x00\x00", "predictor 0"),
        (b"\xff\xda\x00\x08\x01\x01\x00\x01", b"\xff\xda\x00\x08\x01\x01\x00\x08", "predictor 8"),
        (b"\xff\xda\x00\x08\x01\x01\x00", b"\xff\xda\x00\x08\x01\x01\x30", "a table that is not there"),
        (b"\xff\xda\x00\x08\x01\x01", b"\xff\xda\x00\x08\x01\x09", "a component that is not there"),
        (b"\xff\xda\x00\x08\x01", b"\xff\xda\x00\x08\x02", "more components than the segment holds"),
        (b"\x0c\x00\x10\x00\x10\x01", b"\x0c\x00\x11\x00\x10\x01", "more rows"),
        (b"\x0c\x00\x10\x00\x10\x01", b"\x0c\x00\x00\x00\x10\x01", "rows told later"),
        (b"\x0c\x00\x10\x00\x10\x01", b"\x11\x00\x10\x00\x10\x01", "17 bits"),
        (b"\x01\x11\x00", b"\x01\x21\x00", "subsampled"),
        (b"\xff\xdd\x00\x04\x00\x40", b"\xff\xdd\x00\x04\x00\x41", "restarts within a row"),
        (b"\xff\xd1", b"\xff\xd4", "restarts out of order"),
    ],
)
def test_unusual_streams_are_left_to_the_codec(old, new, why):
    data = stream(restart=4)
    assert data.count(old) == 1, why
    with pytest.raises(RuntimeError):
        _native.jpeg_lossless(data.replace(old, new), 16, 16, 1)


def test_tables_that_make_no_code():
    data = stream()
    at = data.index(b"\xff\xc4") + 4
    for counts in ([3] + [0] * 15, [0, 5] + [0] * 14, [255] * 16, [0] * 16):
        broken = data[: at + 1] + bytes(counts) + data[at + 17 :]
        with pytest.raises(RuntimeError):
            _native.jpeg_lossless(broken, 16, 16, 1)
    with pytest.raises(RuntimeError):  # a size of 17 bits
        _native.jpeg_lossless(data[: at + 17] + b"\x11" + data[at + 18 :], 16, 16, 1)


def test_large_dimensions_in_a_small_stream_allocate_little(tmp_path):
    """65535 x 65535 claimed by 100 bytes: refused before anything of that size exists."""
    data = stream()
    at = data.index(b"\xff\xc3") + 5
    for samples in (1, 3):
        head = b"\xff\xff\xff\xff" + bytes([samples])
        huge = data[:at] + head + data[at + 5 :]
        with pytest.raises(RuntimeError):
            _native.jpeg_lossless(huge, 65535, 65535, samples)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damage_is_refused_or_decoded_like_the_codec(data):
    """Flipped bits: an answer, where there is one, is libjpeg-turbo's."""
    broken = bytearray(stream(restart=data.draw(st.sampled_from([0, 4]))))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(2, len(broken) - 3))  # what follows the last difference does not matter here
        broken[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        seen = ours(bytes(broken), (16, 16))
    except RuntimeError:
        return
    np.testing.assert_array_equal(seen, turbo(bytes(broken), 1))
