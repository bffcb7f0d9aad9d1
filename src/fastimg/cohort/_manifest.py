"""The formats of a cohort: the cohort's own file, a case's manifest, a case's features.

Each is JSON in an envelope that holds the format's name, its version and the CRC-32C of the body's bytes:

    {"format": "fastimg-case", "version": 1, "crc32c": "01234567", "body":
    {...}}

The manifest is the truth about a case: what is not in it does not count, and what is in it must be there.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np

from ..errors import ArgumentError, FormatError, IntegrityError
from ._files import crc32c

__all__ = ["CASE", "COHORT", "FEATURES", "check_case_id", "newest", "pack", "plain", "unpack", "version_of"]

COHORT, CASE, FEATURES = "fastimg-cohort", "fastimg-case", "fastimg-features"
# the newest of each format; those not named here are at 1. Cohort 2: the names of tombstones are keyed, and a fastimg
# that does not know them would take removed subjects in again.
_VERSIONS = {COHORT: 2}

_ENVELOPE = re.compile(rb'\{"format": "([a-z-]{1,40})", "version": ([0-9]{1,9}), "crc32c": "([0-9a-f]{8})", "body":\n')
_END = b"}\n"
_CASE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def newest(kind: str) -> int:
    """The version that is written, and the newest that is read."""
    return _VERSIONS.get(kind, 1)


def version_of(data: bytes) -> int:
    """The version of a file that `unpack` has accepted."""
    head = _ENVELOPE.match(data)
    return int(head[2]) if head else 0


def pack(kind: str, body: dict[str, Any]) -> bytes:
    """The bytes of a file."""
    data = json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    head = f'{{"format": "{kind}", "version": {newest(kind)}, "crc32c": "{crc32c(data):08x}", "body":\n'
    return head.encode() + data + _END


def unpack(kind: str, data: bytes, where: str) -> dict[str, Any]:
    """The body of a file; IntegrityError where a byte differs, FormatError where a newer fastimg wrote it."""
    head = _ENVELOPE.match(data)
    if head is None or head[1].decode() != kind:
        raise IntegrityError(f"{where}: damaged, or not a {kind} file")
    if int(head[2]) > newest(kind):
        raise FormatError(
            f"{where}: {kind} version {int(head[2])} is newer than this fastimg reads ({newest(kind)}); update fastimg"
        )
    body = data[head.end() : -len(_END)]
    if not data.endswith(_END) or f"{crc32c(body):08x}".encode() != head[3] or int(head[2]) < 1:
        raise IntegrityError(f"{where}: its bytes differ from its checksum")
    content = json.loads(body)
    if not isinstance(content, dict):
        raise IntegrityError(f"{where}: not an object")
    return content


def check_case_id(case_id: str) -> str:
    """`case_id` if it can name a folder and a Zarr node."""
    if not isinstance(case_id, str) or not _CASE_ID.fullmatch(case_id) or case_id[0] == "." or case_id.startswith("__"):
        raise ArgumentError(
            "case_id: must be 1 to 64 of the characters A-Z a-z 0-9 . _ - and not begin with '.' or '__'"
            f"{'' if isinstance(case_id, str) else f'; got {type(case_id).__name__}'}"
        )
    return case_id


def plain(value: Any, name: str) -> Any:
    """As JSON values: NumPy numbers and arrays, tuples and mappings are turned; anything else is an ArgumentError."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, np.generic):
        value = value.item()
        return plain(value, name)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ArgumentError(f"{name}: whole numbers must fit in 64 bits")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ArgumentError(f"{name}: {value} cannot be kept; leave it out or give None")
        return float(value)
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), name)
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{name}[{k}]") for k, item in enumerate(value)]
    if hasattr(value, "items"):
        if not all(isinstance(key, str) for key in value):
            raise ArgumentError(f"{name}: keys must be text")
        return {key: plain(item, f"{name}[{key!r}]") for key, item in value.items()}
    raise ArgumentError(f"{name}: must be plain values (text, numbers, lists, mappings), got {type(value).__name__}")
