from collections.abc import Sequence
from typing import Any

def use(addresses: Sequence[int]) -> None: ...
def crc32c(data: Any, value: int = 0, tables: bool = False) -> int: ...
def encode_chunk(chunk: bytes, coder: str, level: int, shuffle: bool, item: int) -> bytes: ...
def decode_chunk(stored: bytes, size: int, coder: str, shuffle: bool, item: int) -> bytes: ...
def write(
    fd: int, array: Any, chunks: Sequence[int], coder: str, level: int, shuffle: bool, threads: int
) -> tuple[int, int, int, int]: ...

class Shard:
    def __init__(
        self,
        path: str,
        shape: Sequence[int],
        chunks: Sequence[int],
        coder: str,
        shuffle: bool,
        item: int,
        size: int,
        index_crc: int,
    ) -> None: ...
    def read(self, start: Sequence[int], stop: Sequence[int], out: Any, threads: int) -> None: ...
