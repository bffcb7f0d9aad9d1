from collections.abc import Sequence
from typing import Any

class MaskStream:
    def __init__(self, seeds: Sequence[bytes], minus: Sequence[bool], prg: int, portable: bool) -> None: ...
    def apply(
        self,
        values: Any,
        out: Any,
        offset: int,
        scale: float,
        limit: float,
        clip: float,
        threads: int,
        dither: bytes | None = None,
    ) -> tuple[int, int]: ...
    def packed(
        self,
        values: Any,
        bits: int,
        word: int,
        scale: float,
        limit: float,
        clip: float,
        threads: int,
        dither: bytes | None,
        head: bytes,
        tail: int,
    ) -> tuple[bytes, int, int]: ...

def pack(words: Any, bits: int, threads: int) -> bytes: ...
def add_packed(packed: Any, bits: int, sum: Any, threads: int) -> None: ...
def split(secrets: bytes, coefficients: bytes, threshold: int, points: Sequence[int]) -> bytes: ...
def combine(shares: bytes, points: Sequence[int]) -> bytes: ...
def finish(message: bytes, tail: bytes) -> None: ...
def noise(seed: bytes, variance: int, count: int) -> Any: ...
def has_aes() -> bool: ...
def has_vaes() -> bool: ...
