"""A slice as a PNG with coloured mask outlines: one byte a pixel, 240 greys and the outline colours in its palette."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["OUTLINES", "encode", "outline", "thumbnail"]

GREYS = 240
OUTLINES = ("#ff5a4f", "#3ddc97", "#ffc53d", "#4db8ff", "#d68cff", "#ff8fc7", "#9be15d", "#5ce1e6")


def encode(pixels: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8]) -> bytes:
    """An indexed PNG of `pixels` (rows, columns) with `palette` (n, 3)."""
    rows, columns = pixels.shape
    lines = np.zeros((rows, columns + 1), np.uint8)  # a filter byte, 0, begins each line
    lines[:, 1:] = pixels
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, body in (
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
        (b"PLTE", palette.astype(np.uint8).tobytes()),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    ):
        parts.append(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
    return b"".join(parts)


def outline(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The voxels of a 2-D mask that have a neighbour (4) outside it."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(mask & ~inside)


def thumbnail(
    slice_: npt.NDArray[np.generic],
    masks: Sequence[npt.NDArray[np.bool_]] = (),
    *,
    largest: int = 320,
    low: float | None = None,
    high: float | None = None,
) -> bytes:
    """A slice (rows, columns) between two values, default its 1 % and 99 % percentiles, outlines on top.

    Larger ones are reduced by a whole factor: greys by their mean, masks by any; so no outline is lost.
    """
    values = np.asarray(slice_, np.float32)
    finite = values[np.isfinite(values)]
    if low is None or high is None:
        ends = np.percentile(finite, (1, 99)) if finite.size else (0.0, 1.0)
        low, high = float(ends[0]), float(ends[1])
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    step = -(-max(values.shape) // largest)
    grey = _reduced(values, step).mean(axis=(1, 3))
    span = high - low if high > low else 1.0
    pixels = np.clip((grey - low) / span * (GREYS - 1), 0, GREYS - 1).round().astype(np.uint8)
    for number, mask in enumerate(masks):
        small = _reduced(np.asarray(mask, bool), step).any(axis=(1, 3))
        pixels[outline(np.asarray(small, bool))] = GREYS + number % len(OUTLINES)
    ramp = np.linspace(0, 255, GREYS).round()
    colours = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in OUTLINES]
    return encode(pixels, np.concatenate([np.stack([ramp] * 3, 1), np.array(colours, float)]).astype(np.uint8))


def _reduced(values: npt.NDArray[np.generic], step: int) -> npt.NDArray[np.generic]:
    """Blocks of step x step as (rows, step, columns, step); borders are repeated to fill the last block."""
    rows, columns = values.shape
    padded = np.pad(values, ((0, -rows % step), (0, -columns % step)), mode="edge")
    return padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step)
