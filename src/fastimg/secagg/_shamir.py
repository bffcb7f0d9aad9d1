"""Shamir's secret sharing over p = 2^127 - 1."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from ..errors import ArgumentError
from . import _native
from ._mask import whole

__all__ = ["combine", "split"]

_CHUNK = 15  # bytes of the secret in an element of 16


def split(secret: bytes, points: Iterable[int], threshold: int) -> dict[int, bytes]:
    """Shares of a secret, one a point: any `threshold` of them give it back, fewer say nothing about it.

    Parameters
    ----------
    secret : bytes
        1 to 65,536 bytes; a share has 16 bytes for each 15 of the secret.
    points : iterable of int
        Distinct, 1 to 2**32 - 1; public.
    threshold : int
        1 to the number of points.

    Returns
    -------
    dict
        point -> share.
    """
    where = [whole("points", point, 1, (1 << 32) - 1) for point in points]
    if len(set(where)) != len(where):
        raise ArgumentError("points: must be distinct")
    whole("threshold", threshold, 1, len(where))
    if not isinstance(secret, bytes) or not 1 <= len(secret) <= 1 << 16:
        raise ArgumentError("secret: must be 1 to 65536 bytes")
    parts = [secret[at : at + _CHUNK] for at in range(0, len(secret), _CHUNK)]
    elements = b"".join(part.ljust(16, b"\0") for part in parts)
    # 128 random bits folded to [0, p): farther from uniform by less than 2^-125.
    shares = _native.split(elements, os.urandom(len(elements) * (threshold - 1)), threshold, where)
    size = len(elements)
    return {point: shares[i * size : (i + 1) * size] for i, point in enumerate(where)}


def combine(shares: Mapping[int, bytes], length: int) -> bytes:
    """The secret of `length` bytes from exactly `threshold` shares (more are fine too, if all are right).

    Wrong shares give a wrong secret or an ArgumentError: compare with a commitment.
    """
    points = [whole("points", point, 1, (1 << 32) - 1) for point in shares]
    count = -(-whole("length", length, 1, 1 << 16) // _CHUNK)
    if not points or any(not isinstance(share, bytes) or len(share) != 16 * count for share in shares.values()):
        raise ArgumentError(f"shares: a secret of {length} bytes has shares of {16 * count} bytes")
    elements = _native.combine(b"".join(shares.values()), points)
    parts = [elements[at : at + 16] for at in range(0, len(elements), 16)]
    if any(part[15] for part in parts):
        raise ArgumentError("shares: they do not belong together")
    secret = b"".join(part[:_CHUNK] for part in parts)
    if any(secret[length:]):
        raise ArgumentError("shares: they do not belong together")
    return secret[:length]
