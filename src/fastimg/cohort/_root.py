"""Where the files of one case are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from . import _shard
from ._files import read_bytes

__all__ = ["LocalRoot", "Root"]

_BLOCK = 1 << 22


class Root(Protocol):
    """Files of a case by their names in its manifest. Hashable, small, survives pickling."""

    @property
    def name(self) -> str:
        """The case_id."""

    @property
    def remote(self) -> bool:
        """Whether reading waits for a network."""

    def read(self, name: str) -> bytes:
        """A whole file; FileNotFoundError where it is not there."""

    def blocks(self, name: str) -> Iterator[bytes]:
        """The same piece by piece."""

    def ranges(self, name: str, starts: list[int], ends: list[int]) -> list[bytes]:
        """Parts of it; shorter where it ends before."""

    def files(self) -> dict[str, int]:
        """Sizes of all files that are there."""

    def shard(self, entry: dict[str, Any]) -> Any:
        """An open shard: `read(start, stop, out, threads)`."""

    def address(self, name: str) -> Path | str:
        """For other programs: a path, or a URL."""


@dataclass(frozen=True)
class LocalRoot:
    """A folder of this machine."""

    folder: Path
    remote = False

    @property
    def name(self) -> str:
        """The case_id."""
        return self.folder.name

    def read(self, name: str) -> bytes:
        """A whole file; FileNotFoundError where it is not there."""
        return read_bytes(self.folder / name)

    def blocks(self, name: str) -> Iterator[bytes]:
        """The same piece by piece."""
        with (self.folder / name).open("rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                yield block

    def ranges(self, name: str, starts: list[int], ends: list[int]) -> list[bytes]:
        """Parts of it; shorter where it ends before."""
        with (self.folder / name).open("rb", buffering=0) as file:
            return [os.pread(file.fileno(), b - a, a) for a, b in zip(starts, ends, strict=True)]

    def files(self) -> dict[str, int]:
        """Sizes of all files that are there."""
        found = {}
        for place, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.join(place, name)
                found[os.path.relpath(path, self.folder)] = os.lstat(path).st_size
        return found

    def shard(self, entry: dict[str, Any]) -> Any:
        """The shard's file, with its index read and checked."""
        return _shard.open_shard(self.folder / entry["path"], entry)

    def address(self, name: str) -> Path:
        """A path."""
        return self.folder / name
