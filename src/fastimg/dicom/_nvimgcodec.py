"""Frames decoded on the device by nvImageCodec, where it is installed (extras nvimgcodec-cuda12 and -cuda13).

Only lossless syntaxes (JPEG, JPEG 2000, HTJ2K), whose bits are the same whoever decodes them, and only frames whose stored bits
fill the samples that the codec returns; all others are decoded on the CPU. The first frame of each kind is decoded by both:
a codec whose bits differ is not asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from .. import _gpu
from ..errors import FormatError
from ._codecs import _header
from ._layout import LOSSLESS, Layout

__all__ = ["decode", "kind", "takes"]

_J2K, _HTJ2K = "1.2.840.10008.1.2.4.90", ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202")
SYNTAXES = frozenset([_J2K, *_HTJ2K, *LOSSLESS])


@cache
def _codec() -> tuple[Any, Any] | None:
    """(decoder, parameters), or None."""
    try:
        from nvidia import nvimgcodec
    except ImportError:
        return None
    try:
        return _made(nvimgcodec)
    except RuntimeError:  # it finds no device, or not the libraries behind it
        return None


def _made(module: Any, **where: Any) -> tuple[Any, Any]:
    parameters = module.DecodeParams(allow_any_depth=True, color_spec=module.ColorSpec.UNCHANGED)
    return module.Decoder(**where), parameters


def kind(layout: Layout) -> tuple[Any, ...]:
    """What frames have in common that the codec treats alike."""
    return layout.syntax, layout.dtype.name, layout.bits_stored


def takes(layouts: Sequence[Layout]) -> bool:
    """Whether these frames go to the codec: same syntax and type, lossless, one sample, nothing to sign-extend."""
    first = layouts[0]
    if first.syntax not in SYNTAXES or not first.encapsulated or first.dtype.kind not in "iu":
        return False
    if first.dtype.itemsize > 2 or (first.signed and first.bits_stored != first.bits_allocated):
        return False
    alike = all((one.syntax, one.rows, one.columns) == (first.syntax, first.rows, first.columns) for one in layouts)
    return alike and _codec() is not None


def decode(frames: Sequence[bytes], layout: Layout) -> Any:
    """(frames, rows, columns) on the device, `layout.dtype`; None where the codec returned something else."""
    for data in frames:
        rows, columns, samples, precision = _header(data, layout.syntax) or (0, 0, 0, 0)
        if (rows, columns, samples) != (layout.rows, layout.columns, 1):
            raise FormatError("decode-failed: a compressed image is of another size than the header says")
        whole = layout.syntax not in LOSSLESS and precision == layout.bits_allocated and not layout.signed
        if precision != layout.bits_stored and not whole:  # (a whole word comes as it is, whatever it holds)
            return None
    codec = _codec()
    assert codec is not None
    xp = _gpu.backend().xp
    out = xp.empty((len(frames), layout.rows, layout.columns), layout.dtype)
    images = codec[0].decode(list(frames), params=codec[1])
    for place, image in enumerate(images):
        if image is None:  # damaged, or of a kind that it does not know: the CPU's codec will say
            return None
        array = xp.asarray(image)
        names = (layout.dtype.name, f"u{layout.dtype.name}")  # signed samples may come as the words that they are
        if array.size != layout.rows * layout.columns or array.dtype.name not in names:
            return None
        out[place] = array.reshape(layout.rows, layout.columns).view(layout.dtype)
    return out
