"""Single frames: lossless JPEG by our decoder; JPEG, JPEG-LS, JPEG 2000, HTJ2K, JPEG XL through imagecodecs; deflate.

Before a codec runs, its codestream's header must agree with the DICOM header on rows, columns and samples, so that a
small file cannot make a codec allocate for an image that its own header does not describe.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from ..errors import FormatError
from . import _native
from ._layout import LOSSLESS, Layout

__all__ = ["SYNTAXES", "decode", "shift_bits", "to_rgb"]

_JPEG = "1.2.840.10008.1.2.4."
_J2K = {f"{_JPEG}{n}" for n in (90, 91, 92, 93, 201, 202, 203)}
_JLS = {f"{_JPEG}{n}" for n in (80, 81)}
_XL = {f"{_JPEG}{n}" for n in (110, 111, 112)}
_J2K_START = b"\xff\x4f\xff\x51"  # SOC, SIZ
_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
_DCT = {f"{_JPEG}{n}" for n in (50, 51)}
_LOSSLESS = set(LOSSLESS)
SYNTAXES = frozenset(_J2K | _JLS | _XL | _DCT | _LOSSLESS | {_DEFLATED_FRAMES})


def decode(data: bytes | bytearray, layout: Layout, *, room: Any = None) -> Any:
    """One frame: (rows, columns) or (rows, columns, samples), `layout.dtype`, colours as they are encoded.

    `room` may be an array that the codec writes into, where its type and size fit; the result may then be a view of it.

    Raises
    ------
    FormatError
        decode-failed or unsupported-syntax.
    """
    syntax = layout.syntax
    if syntax not in SYNTAXES:
        raise FormatError(f"unsupported-syntax: no decoder for transfer syntax {syntax}")
    shape: tuple[int, ...] = (layout.rows, layout.columns)
    shape += (layout.samples,) if layout.samples > 1 else ()
    if syntax == _DEFLATED_FRAMES:
        return _inflated(data, layout, shape)
    header = _header(data, syntax)
    if syntax in _LOSSLESS:
        own = _lossless(data, layout, shape)
        if own is not None:
            return _conformed(own, layout, header)
    if header is not None and header[:3] != (layout.rows, layout.columns, layout.samples):
        raise FormatError(
            f"decode-failed: the compressed image is {header[0]}x{header[1]} with {header[2]} sample(s), "
            f"the header says {layout.rows}x{layout.columns} with {layout.samples}"
        )
    try:
        out = None
        if room is not None and header is not None and layout.samples == 1:
            size = 1 if header[3] <= 8 else 2
            if room.itemsize == size and header[3] <= 16:
                signed = syntax in _J2K and data[data.find(_J2K_START) + 42] & 0x80
                out = room.reshape(shape).view(f"{'i' if signed else 'u'}{size}")
        frame = _codec(syntax)(data, layout, out)
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:
        raise FormatError(f"decode-failed: {type(error).__name__} in the codec of {syntax}") from error
    if frame.shape != shape:
        raise FormatError(f"decode-failed: the codec returned shape {frame.shape}, the header says {shape}")
    return _conformed(frame, layout, header)


def _lossless(data: bytes | bytearray, layout: Layout, shape: tuple[int, ...]) -> Any:
    """By the native decoder; None where it leaves the codestream to the codec."""
    try:
        raw = _native.jpeg_lossless(bytes(data), layout.rows, layout.columns, layout.samples)
    except RuntimeError as error:
        if str(error) == _native.JPEG_CUT:
            raise FormatError(f"decode-failed: {error}") from error
        return None
    wide = len(raw) > int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(bytearray(raw), np.uint16 if wide else np.uint8).reshape(shape)


def _conformed(frame: Any, layout: Layout, header: tuple[int, int, int, int] | None) -> Any:
    """In the type and sign that the header names."""
    target = layout.dtype
    codec_signed = frame.dtype.kind == "i"
    size = frame.dtype.itemsize
    if frame.dtype.kind not in "iu" or target.kind not in "iu" or size > target.itemsize:
        raise FormatError(f"decode-failed: the codec returned {frame.dtype}, the header says {target}")
    frame = np.ascontiguousarray(frame).view(f"{target.kind}{size}")
    precision = header[3] if header is not None else layout.bits_stored
    if layout.syntax in _J2K:
        # Encoders may write the other signedness than the header's: the bits are right, their extension is not.
        if codec_signed != layout.signed:
            _shift_in_place(frame, 8 * size - precision)
    elif layout.syntax in _JLS and layout.signed:  # JPEG-LS knows no sign
        _shift_in_place(frame, 8 * size - precision)
    frame = frame.astype(target, copy=False)
    if layout.syntax not in _J2K | _JLS:
        _shift_in_place(frame, layout.bits_allocated - layout.bits_stored)
    return frame


def _shift_in_place(frame: Any, bits: int) -> None:
    """`shift_bits` on a codec's own output."""
    if bits > 0:
        np.left_shift(frame, bits, out=frame)
        np.right_shift(frame, bits, out=frame)


def shift_bits(array: Any, bits: int) -> Any:
    """The lowest (width - bits) bits, the sign extended for signed types."""
    return (array << bits) >> bits if bits > 0 else array


def to_rgb(array: Any) -> Any:
    """YBR_FULL to RGB, uint8, last axis 3: the inverse of PS3.3 C.7.6.3.1.2, in float32, rounded half up."""
    red, blue = 1.402, 1.772
    matrix = np.array([[1, 1, 1], [0, -0.114 * blue / 0.587, blue], [red, -0.299 * red / 0.587, 0]], np.float32)
    values = array.astype(np.float32)
    values -= np.array([0, 128, 128], np.float32)
    values = np.matmul(values, matrix)
    values += np.float32(0.5)
    return np.clip(np.floor(values), 0, 255).astype(np.uint8)


def _inflated(data: bytes | bytearray, layout: Layout, shape: tuple[int, ...]) -> Any:
    import zlib

    count = int(np.prod(shape, dtype=np.int64))
    wanted = (count + 7) // 8 if layout.bits_allocated == 1 else count * layout.dtype.itemsize
    try:
        raw = zlib.decompressobj(-15).decompress(data, wanted)
    except zlib.error as error:
        raise FormatError("decode-failed: a deflated frame is damaged") from error
    if len(raw) < wanted:
        raise FormatError("decode-failed: a deflated frame is shorter than rows and columns need")
    if layout.bits_allocated == 1:
        return np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little", count=count).reshape(shape)
    frame = np.frombuffer(raw, layout.dtype)
    if layout.planar and layout.samples > 1:
        frame = np.moveaxis(frame.reshape(layout.samples, layout.rows, layout.columns), 0, -1)
    return shift_bits(frame.reshape(shape), layout.bits_allocated - layout.bits_stored)


@cache
def _codec(syntax: str) -> Callable[[bytes | bytearray, Layout, Any], Any]:
    import imagecodecs

    def jpeg(data: bytes | bytearray, layout: Layout, out: Any) -> Any:
        if layout.samples == 1:
            return imagecodecs.jpeg8_decode(data, out=out)
        # The same space in and out: components come as they are encoded.
        space = "RGB" if syntax in _LOSSLESS or layout.photometric == "RGB" else "YCBCR"
        return imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace=space)

    if syntax in _DCT | _LOSSLESS:
        return jpeg
    if syntax in _JLS:
        return lambda data, layout, out: imagecodecs.jpegls_decode(data, out=out)
    if syntax in _XL:
        return lambda data, layout, out: imagecodecs.jpegxl_decode(data)
    if syntax.endswith((".201", ".202", ".203")):
        return lambda data, layout, out: imagecodecs.htj2k_decode(data, out=out)
    return lambda data, layout, out: imagecodecs.jpeg2k_decode(data, numthreads=1, out=out)


def _header(data: bytes | bytearray, syntax: str) -> tuple[int, int, int, int] | None:
    """(rows, columns, samples, precision) of a codestream; None for JPEG XL, whose codec has its own limits."""
    if syntax in _XL:
        return None
    try:
        return _j2k_header(data) if syntax in _J2K else _jpeg_header(data)
    except (struct.error, IndexError) as error:
        raise FormatError("decode-failed: the compressed image has no usable header") from error


def _j2k_header(data: bytes | bytearray) -> tuple[int, int, int, int]:
    start = data.find(_J2K_START)  # behind the boxes of a JP2 file
    if start < 0:
        raise FormatError("decode-failed: no JPEG 2000 codestream")
    x1, y1, x0, y0, _, _, _, _, samples = struct.unpack_from(">8IH", data, start + 8)
    return y1 - y0, x1 - x0, samples, (data[start + 42] & 0x7F) + 1


def _jpeg_header(data: bytes | bytearray) -> tuple[int, int, int, int]:
    at = data.find(b"\xff\xd8") + 2
    if at < 2:
        raise FormatError("decode-failed: no JPEG codestream")
    while True:
        if data[at] != 0xFF:
            raise FormatError("decode-failed: the JPEG codestream's markers are damaged")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            precision, rows, columns, samples = struct.unpack_from(">BHHB", data, at + 4)
            return rows, columns, samples, precision
        if marker == 0xDA:
            raise FormatError("decode-failed: the JPEG codestream has no frame header")
        at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
