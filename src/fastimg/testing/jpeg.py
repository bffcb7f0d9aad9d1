"""Lossless JPEG (ITU-T T.81, process 14), sample by sample: the encoder that makes test streams, and the slow decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["lossless_decode", "lossless_encode", "predict"]

# Codes for differences of 0 to 16 bits: two of 2, one of 3 ... bits; a code of ones only is left out (T.81 annex C).
LENGTHS = (2, 3, 3, 3, 3, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)


def predict(predictor: int, left: int, above: int, diagonal: int) -> int:
    """T.81 table H.1."""
    return (
        left,
        above,
        diagonal,
        left + above - diagonal,
        left + (above - diagonal >> 1),
        above + (left - diagonal >> 1),
        left + above >> 1,
    )[predictor - 1]


def _prediction(plane: Any, row: int, column: int, predictor: int, first: int, precision: int, shift: int) -> int:
    """Of one sample; `first` is the row that begins the image or the restart interval (T.81 H.1.2.1)."""
    if row == first:
        return int(plane[row, column - 1]) if column else 1 << precision - shift - 1
    if column == 0:
        return int(plane[row - 1, 0])
    left, above, diagonal = plane[row, column - 1], plane[row - 1, column], plane[row - 1, column - 1]
    return predict(predictor, int(left), int(above), int(diagonal))


def _codes(lengths: Sequence[int]) -> tuple[list[int], list[int], dict[int, tuple[int, int]]]:
    """Counts, sizes in order of their codes, and {size: (code, length)} (T.81 figures C.1 and C.2)."""
    order = sorted((length, size) for size, length in enumerate(lengths) if length)
    counts = [sum(length == n for length, _ in order) for n in range(1, 17)]
    codes, code, before = {}, 0, order[0][0]
    for length, size in order:
        code <<= length - before
        codes[size] = (code, length)
        code, before = code + 1, length
    return counts, [size for _, size in order], codes


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def lossless_encode(
    pixels: npt.NDArray[Any],
    *,
    precision: int,
    predictor: int = 1,
    shift: int = 0,
    restart: int = 0,
    interleaved: bool = True,
    tables: Sequence[Sequence[int]] = (LENGTHS,),
) -> bytes:
    """(rows, columns[, samples]) as a codestream; `restart` in rows, `shift` is the point transform.

    Component c uses tables[c], or the last one; a table gives each size's code length (0: no code).
    """
    rows, columns = pixels.shape[:2]
    planes = pixels.reshape(rows, columns, -1).astype(np.int64) >> shift
    samples = planes.shape[2]
    out = b"\xff\xd8"
    parts = [_codes(lengths) for lengths in tables]
    for number, (counts, sizes, _) in enumerate(parts):
        out += _segment(0xC4, bytes([number, *counts, *sizes]))
    frame = bytes([precision]) + rows.to_bytes(2, "big") + columns.to_bytes(2, "big") + bytes([samples])
    out += _segment(0xC3, frame + b"".join(bytes([c + 1, 0x11, 0]) for c in range(samples)))
    if restart:
        out += _segment(0xDD, (restart * columns).to_bytes(2, "big"))
    scans = [list(range(samples))] if interleaved else [[c] for c in range(samples)]
    for scan in scans:
        where = [min(c, len(tables) - 1) for c in range(samples)]
        head = bytes([len(scan)]) + b"".join(bytes([c + 1, where[c] << 4]) for c in scan)
        out += _segment(0xDA, head + bytes([predictor, 0, shift]))
        for number, first in enumerate(range(0, rows, restart or rows)):
            if number:
                out += bytes([0xFF, 0xD0 + (number - 1) % 8])
            bits = ""
            for row in range(first, min(rows, first + (restart or rows))):
                for column in range(columns):
                    for c in scan:
                        guess = _prediction(planes[..., c], row, column, predictor, first, precision, shift)
                        bits += _coded(int(planes[row, column, c]) - guess, parts[where[c]][2])
            bits += "1" * (-len(bits) % 8)
            out += int("1" + bits, 2).to_bytes(len(bits) // 8 + 1, "big")[1:].replace(b"\xff", b"\xff\x00")
    return out + b"\xff\xd9"


def _coded(difference: int, codes: dict[int, tuple[int, int]]) -> str:
    difference = (difference + 32767) % 65536 - 32767  # modulo 2^16, -32767 to 32768 (T.81 H.1.2.1)
    size = abs(difference).bit_length()
    code, length = codes[size]
    bits = f"{code:0{length}b}"
    if 0 < size < 16:
        bits += f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}"
    return bits


def lossless_decode(data: bytes) -> npt.NDArray[np.uint16]:
    """(rows, columns, samples), of a valid codestream."""
    tables: dict[int, dict[tuple[int, int], int]] = {}
    planes = np.zeros((0, 0, 0), np.int64)
    precision = restart = 0
    at = 2
    while data[at + 1] != 0xD9:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xC4:
            while body:
                counts, sizes = body[1:17], body[17:]
                lengths = [0] * 17
                for n, size in zip([i + 1 for i in range(16) for _ in range(counts[i])], sizes, strict=False):
                    lengths[size] = n
                tables[body[0]] = {value: size for size, value in _codes(lengths)[2].items()}
                body = body[17 + sum(counts) :]
        elif marker == 0xC3:
            precision = body[0]
            rows, columns = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            planes = np.zeros((rows, columns, body[5]), np.int64)
            ids = [body[6 + 3 * c] for c in range(body[5])]
        elif marker == 0xDD:
            restart = int.from_bytes(body, "big")
        elif marker == 0xDA:
            scan = [(ids.index(body[1 + 2 * i]), tables[body[2 + 2 * i] >> 4]) for i in range(body[0])]
            predictor, shift = body[-3], body[-1] & 15
            rows_each = restart // planes.shape[1] or planes.shape[0]
            for first in range(0, planes.shape[0], rows_each):
                at += 2 if first else 0  # the restart's marker
                end = at
                while data[end] != 0xFF or data[end + 1] == 0:
                    end += 1
                bits = "".join(f"{byte:08b}" for byte in data[at:end].replace(b"\xff\x00", b"\xff"))
                _decode_rows(planes, bits, scan, first, rows_each, predictor, precision, shift)
                at = end
            for c, _ in scan:
                planes[..., c] <<= shift
    return planes.astype(np.uint16)


def _decode_rows(
    planes: Any,
    bits: str,
    scan: Sequence[tuple[int, dict[tuple[int, int], int]]],
    first: int,
    count: int,
    predictor: int,
    precision: int,
    shift: int,
) -> None:
    at = 0
    for row in range(first, min(first + count, planes.shape[0])):
        for column in range(planes.shape[1]):
            for c, codes in scan:
                length = 1
                while (int(bits[at : at + length], 2), length) not in codes:
                    length += 1
                size = codes[int(bits[at : at + length], 2), length]
                at += length
                difference = 32768 if size == 16 else 0
                if 0 < size < 16:
                    difference = int(bits[at : at + size], 2)
                    difference -= 0 if bits[at] == "1" else (1 << size) - 1
                    at += size
                guess = _prediction(planes[..., c], row, column, predictor, first, precision, shift)
                planes[row, column, c] = (guess + difference) % 65536
