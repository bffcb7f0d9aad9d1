"""fastimg as a pydicom pixel decoder: after `register_pydicom()` existing code gets faster as it stands."""

from __future__ import annotations

from typing import Any

from ..errors import FormatError
from . import _codecs, _native
from ._layout import RLE, Layout

__all__ = ["register_pydicom"]

DECODER_DEPENDENCIES = {**dict.fromkeys(sorted(_codecs.SYNTAXES), ("imagecodecs",)), RLE: ()}


def is_available(uid: str) -> bool:
    """For pydicom: whether this transfer syntax is decoded here."""
    return uid in DECODER_DEPENDENCIES


def register_pydicom() -> list[str]:
    """Put fastimg first among pydicom's pixel decoders.

    RLE and lossless JPEG are decoded by fastimg's own code, JPEG, JPEG-LS, JPEG 2000, HTJ2K through imagecodecs; `pixel_array` and
    `pydicom.pixels` then use them without further changes. Calling it again does nothing.

    Returns
    -------
    list of str
        The transfer syntaxes.
    """
    from pydicom.pixels.decoders.base import get_decoder

    done = []
    for uid in DECODER_DEPENDENCIES:
        try:
            decoder = get_decoder(uid)
        except NotImplementedError:  # a syntax that this pydicom does not know
            continue
        if "fastimg" not in decoder.available_plugins:
            decoder.add_plugin("fastimg", (__name__, "decode_frame"))
        # Plug-ins are tried in the order of this dictionary; pydicom has no call that puts one first.
        plugins = decoder._available
        decoder._available = {"fastimg": plugins["fastimg"], **plugins}
        done.append(uid)
    return done


def decode_frame(src: bytes, runner: Any) -> bytes:
    """One frame for pydicom's runner, samples interleaved."""
    import numpy as np

    uid = str(runner.transfer_syntax)
    samples, allocated = runner.samples_per_pixel, runner.bits_allocated
    if samples > 1:
        runner.set_option("planar_configuration", 0)
    if uid == RLE:
        if allocated % 8:
            raise FormatError(f"decode-failed: RLE with {allocated} bits allocated")
        return _native.rle_decode(bytes(src), runner.rows * runner.columns, samples, allocated // 8)
    signed = runner.pixel_representation == 1
    layout = Layout(
        path="",
        syntax=uid,
        rows=runner.rows,
        columns=runner.columns,
        frames=1,
        samples=samples,
        photometric=str(runner.photometric_interpretation),
        planar=False,
        dtype=np.dtype(f"{'iu'[not signed]}{max(allocated // 8, 1)}"),
        bits_allocated=allocated,
        bits_stored=runner.bits_stored,
        left=0,
        right=allocated - runner.bits_stored,
        signed=signed,
        offset=0,
        length=-1,
        big=False,
        words=False,
        deflated=False,
    )
    frame = _codecs.decode(bytes(src), layout)
    if layout.photometric in ("YBR_ICT", "YBR_RCT"):  # the codec has undone them
        runner.set_option("photometric_interpretation", "RGB")
    return bytes(np.ascontiguousarray(frame).tobytes())
