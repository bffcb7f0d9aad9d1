"""Reading onto a CUDA device: the bits of the CPU's volume, through pinned buffers and through nvImageCodec."""

from __future__ import annotations

import sys
import types

import imagecodecs
import numpy as np
import pytest
from dicom_maker import compressed, enhanced, image, save, stack_of
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import fastimg as fi
from fastimg.dicom import _codecs, _nvimgcodec, _upload

SV1, J2K, HTJ2K = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201"


def frame(pixels, syntax, stored):
    """A lossless frame; the HTJ2K encoder here writes 16 bits whatever they hold."""
    if syntax == SV1:
        return imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=stored)
    if syntax == J2K:
        return imagecodecs.jpeg2k_encode(pixels, reversible=True, level=0, codecformat="j2k", bitspersample=stored)
    return imagecodecs.htj2k_encode(pixels)


@pytest.fixture
def both(put, get):
    """Reads on the CPU and on a device; skipped where `put` is the CPU's own."""
    if put is np.asarray:
        pytest.skip("no device in this turn")

    def read(source, **options):
        here, there = fi.dicom.read(source, **options), fi.dicom.read(source, device="cuda", **options)
        assert fi._dispatch.device(there.array) == "cuda"
        assert there.array.dtype == here.array.dtype
        np.testing.assert_array_equal(get(there.array), here.array)
        np.testing.assert_array_equal(there.affine, here.affine)
        return there

    return read


@pytest.mark.parametrize("batch", [1, 200, 1 << 20])
def test_series_in_batches(tmp_path, both, monkeypatch, batch):
    monkeypatch.setattr(_upload, "_BATCH", batch)
    stack_of(
        tmp_path, [0, 1, 2, 3, 4, 5, 6], RescaleSlope=lambda k: 1 + k // 3, RescaleIntercept=lambda k: -7.5 * (k // 2)
    )
    both(tmp_path)


def test_frames_with_lines_of_their_own(tmp_path, both):
    volume = np.random.default_rng(1).integers(-3000, 3000, (5, 6, 7)).astype(np.int16)
    positions = [(0, 0, 2.0 * k) for k in range(5)]
    both(save(enhanced(volume, positions, slopes=[1, 2, 0.1, 1, 1], intercepts=[0, 5, 0.3, 0, 0]), tmp_path / "x"))


def test_tables(tmp_path, both):
    ds = image(np.arange(48, dtype=np.uint16).reshape(6, 8), RescaleSlope=None, RescaleIntercept=None)
    item = Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [20, 10, 16], "US"
    item.LUTData = np.arange(20, dtype=np.uint16) ** 2
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "US"
    item.LUTData = list(range(0, 4000, 200))
    ds.ModalityLUTSequence = Sequence([item])
    both(save(ds, tmp_path / "x"))


def test_what_has_no_straight_way_goes_through_the_cpu(tmp_path, both):
    stack_of(tmp_path, [0, 1, 2, 4], PixelPaddingValue=5)
    read = both(tmp_path, tolerate="missing-slice")
    assert read.padding is not None
    both(tmp_path, tolerate="missing-slice", dtype="exact")
    colour = np.random.default_rng(2).integers(0, 255, (5, 6, 3)).astype(np.uint8)
    (tmp_path / "colour").mkdir()
    both(save(image(colour), tmp_path / "colour" / "x"))


def test_compressed_slices(tmp_path, both):
    volume = np.random.default_rng(3).integers(0, 4000, (3, 20, 21)).astype(np.uint16)
    for k, pixels in enumerate(volume):
        data = imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=16)
        compressed(image(pixels, z=float(k)), [data], SV1, tmp_path / str(k))
    both(tmp_path)


def test_arguments(tmp_path):
    stack_of(tmp_path, [0, 1])
    with pytest.raises(fi.errors.ArgumentError, match="device"):
        fi.dicom.read(tmp_path, device="gpu")
    with pytest.raises(fi.errors.ArgumentError, match="out"):
        fi.dicom.read(tmp_path, device="cuda", out=np.zeros((2, 6, 7), np.float32))


@pytest.fixture
def codec(monkeypatch):
    """nvImageCodec, played by imagecodecs; `codec.calls` counts the frames, `codec.refuse` makes it give them back."""
    played = types.SimpleNamespace(calls=0, refuse=False, wrong=False)
    monkeypatch.setattr(_upload, "_agrees", {})

    class Decoder:
        def decode(self, frames, params):
            played.calls += len(frames)
            if played.refuse:
                return [None] * len(frames)
            jpeg = frames[0][:2] == b"\xff\xd8"
            decoded = [(imagecodecs.jpeg8_decode if jpeg else imagecodecs.jpeg2k_decode)(data) for data in frames]
            return [fi._gpu.backend().to_device((one + played.wrong)[..., None]) for one in decoded]

    module = types.SimpleNamespace(
        Decoder=Decoder,
        DecodeParams=lambda **options: options,
        ColorSpec=types.SimpleNamespace(UNCHANGED=0),
    )
    monkeypatch.setitem(sys.modules, "nvidia", types.SimpleNamespace(nvimgcodec=module))
    monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", module)
    _nvimgcodec._codec.cache_clear()
    yield played
    _nvimgcodec._codec.cache_clear()


@pytest.mark.parametrize("syntax", [SV1, J2K, HTJ2K])
@pytest.mark.parametrize("stored", [16, 12])
@pytest.mark.parametrize("refuse", [False, True])
def test_nvimagecodec_where_it_is_installed(tmp_path, both, codec, syntax, stored, refuse):
    codec.refuse = refuse
    volume = np.random.default_rng(4).integers(0, 1 << stored, (3, 24, 20)).astype(np.uint16)
    for k, pixels in enumerate(volume):
        ds = image(pixels, z=float(k), BitsStored=stored, HighBit=stored - 1)
        compressed(ds, [frame(pixels, syntax, stored)], syntax, tmp_path / str(k))
    read = both(tmp_path)
    np.testing.assert_array_equal(np.asarray(fi._dispatch.move(read.array, "cpu")), volume.astype(np.float32) - 1024)
    assert codec.calls == 3  # the HTJ2K encoder here writes 16 bits whatever they hold


def test_nvimagecodec_leaves_signed_values_with_fewer_bits_alone(tmp_path, both, codec):
    pixels = np.random.default_rng(5).integers(-2000, 2000, (16, 16)).astype(np.int16)
    data = frame(pixels, J2K, 12)
    compressed(image(pixels, BitsStored=12, HighBit=11), [data], J2K, tmp_path / "x")
    both(tmp_path / "x")
    assert codec.calls == 0


def test_a_device_codec_with_other_bits_is_not_used(tmp_path, both, codec):
    codec.wrong = True
    volume = np.random.default_rng(6).integers(0, 4000, (3, 16, 12)).astype(np.uint16)
    for k, pixels in enumerate(volume):
        data = frame(pixels, J2K, 12)
        compressed(image(pixels, z=float(k), BitsStored=12, HighBit=11), [data], J2K, tmp_path / str(k))
    both(tmp_path)
    assert codec.calls == 3
    both(tmp_path)
    assert codec.calls == 3


@pytest.mark.gpu
@pytest.mark.parametrize(("syntax", "stored"), [(s, bits) for s in (SV1, J2K, HTJ2K) for bits in (16, 12)])
def test_nvimagecodec_on_a_device(tmp_path, monkeypatch, syntax, stored):
    pytest.importorskip("nvidia.nvimgcodec", reason="nvImageCodec is not installed")
    monkeypatch.setattr(_upload, "_agrees", {})
    _nvimgcodec._codec.cache_clear()
    volume = np.random.default_rng(8).integers(0, 1 << stored, (5, 96, 80)).astype(np.uint16)
    for k, pixels in enumerate(volume):
        ds = image(pixels, z=float(k), BitsStored=stored, HighBit=stored - 1)
        compressed(ds, [frame(pixels, syntax, stored)], syntax, tmp_path / str(k))
    seen = fi.dicom.read(tmp_path, device="cuda")
    np.testing.assert_array_equal(fi._dispatch.move(seen.array, "cpu"), volume.astype(np.float32) - 1024)
    # nvJPEG's bits of lossless JPEG were found to be others (13.3 on an H200): such frames are decoded here after all
    assert _upload._agrees == {(syntax, "uint16", stored): syntax != SV1}


@pytest.mark.parametrize("syntax", [SV1, J2K, HTJ2K])
def test_nvimagecodec_itself_takes_our_calls(syntax):
    """The package without a device: it reads our streams' headers as we do, takes the call, and gives nothing back."""
    module = pytest.importorskip("nvidia.nvimgcodec", reason="nvImageCodec is not installed; make peers")
    pixels = np.random.default_rng(7).integers(0, 4000, (24, 20)).astype(np.uint16)
    data = frame(pixels, syntax, 12)
    stream = module.CodeStream(data)
    assert (stream.height, stream.width, stream.num_channels, stream.precision) == _codecs._header(data, syntax)
    decoder, parameters = _nvimgcodec._made(module, device_id=module.NVIMGCODEC_DEVICE_CPU_ONLY)
    assert parameters.allow_any_depth
    (seen,) = decoder.decode([data], params=parameters)
    assert seen is None
