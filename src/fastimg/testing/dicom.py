"""Twins of fastimg.dicom."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["packbits", "rescale", "rle_frame", "stored_bits"]


def stored_bits(word: int, allocated: int, stored: int, high: int, signed: bool) -> int:
    """PS3.5 8.1.1, on one word given as an unsigned number."""
    value = (word >> (high - stored + 1)) & ((1 << stored) - 1)
    return value - (1 << stored) if signed and value >> (stored - 1) else value


def rescale(stored: npt.NDArray[Any], slope: float, intercept: float) -> npt.NDArray[np.float32]:
    """PS3.3 C.11.1.1.2 in float64, rounded once."""
    return (stored.astype(np.float64) * slope + intercept).astype(np.float32)


def packbits(data: bytes) -> bytes:
    """Encode one byte plane (PS3.5 G.3.1): runs of 2 to 128 equal bytes, literals of up to 128."""
    out = bytearray()
    at = 0
    while at < len(data):
        run = 1
        while run < 128 and at + run < len(data) and data[at + run] == data[at]:
            run += 1
        if run > 1:
            out += bytes([257 - run, data[at]])
            at += run
            continue
        end = at + 1
        while end < len(data) and end - at < 128 and (end + 1 >= len(data) or data[end] != data[end + 1]):
            end += 1
        out += bytes([end - at - 1]) + data[at:end]
        at = end
    return bytes(out) + b"\0" * (len(out) % 2)


def rle_frame(pixels: npt.NDArray[Any]) -> bytes:
    """Encode one frame, (rows, columns) or (rows, columns, samples) (PS3.5 annex G)."""
    samples = pixels.reshape(*pixels.shape[:2], -1)
    planes = []
    for sample in range(samples.shape[-1]):
        words = np.ascontiguousarray(samples[..., sample]).astype(pixels.dtype.newbyteorder(">"))
        by_byte = words.view(np.uint8).reshape(words.size, -1)
        planes += [packbits(by_byte[:, b].tobytes()) for b in range(by_byte.shape[1])]
    offsets = np.zeros(16, "<u4")
    offsets[0] = len(planes)
    offsets[1 : len(planes) + 1] = 64 + np.cumsum([0, *map(len, planes[:-1])])
    return offsets.tobytes() + b"".join(planes)
