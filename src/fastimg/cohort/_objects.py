"""Objects of an object store, and a case's files among them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import FastimgError, IntegrityError, MissingError
from . import _shard
from ._case import MANIFEST

__all__ = ["BucketRoot", "Objects"]


class Objects:
    """The objects below a URL; every failure is a FastimgError, or FileNotFoundError where there is no such object."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        try:
            obstore: Any = import_module("obstore")
        except ImportError:
            raise MissingError("cohorts in object stores need obstore: pip install 'fastimg[s3]'") from None
        self.url, self.options, self._api = url.rstrip("/"), dict(options), obstore
        settings = dict(options)
        plain = {"allow_http": True} if settings.pop("allow_http", False) else None
        with self._told("open"):
            self._store = obstore.store.from_url(self.url, config=settings, client_options=plain)

    def __reduce__(self) -> tuple[Any, ...]:
        return Objects, (self.url, self.options)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, self._api.exceptions.AlreadyExistsError, self._api.exceptions.PreconditionError):
            raise
        except (self._api.exceptions.BaseError, OSError) as error:
            raise FastimgError(f"object store: {what} failed: {str(error).splitlines()[0][:300]}") from None

    def get(self, name: str) -> tuple[bytes, str]:
        """An object and its entity tag."""
        with self._told("get"):
            found = self._api.get(self._store, name)
            return bytes(found.bytes()), found.meta["e_tag"] or ""

    def ranges(self, name: str, starts: list[int], ends: list[int]) -> list[Any]:
        """Parts of an object."""
        with self._told("get"):
            return list(self._api.get_ranges(self._store, name, starts=starts, ends=ends))

    def put(self, name: str, data: bytes | Path) -> None:
        """Put or replace an object."""
        with self._told("put"):
            self._api.put(self._store, name, data)

    def put_if(self, name: str, data: bytes, tag: str | None) -> bool:
        """Put an object where there is none (tag None), or in place of the one with this tag. False if that is not so."""
        with self._told("put"):
            try:
                self._api.put(self._store, name, data, mode="create" if tag is None else {"e_tag": tag})
            except (self._api.exceptions.AlreadyExistsError, self._api.exceptions.PreconditionError, FileNotFoundError):
                return False
        return True

    def head(self, name: str) -> dict[str, Any] | None:
        """What is known of an object, without its content."""
        with self._told("head"), suppress(FileNotFoundError):
            found: dict[str, Any] = self._api.head(self._store, name)
            return found
        return None

    def entries(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Path, size, entity tag and time of all objects below a prefix, which ends with a slash."""
        with self._told("list"):
            for some in self._api.list(self._store, prefix, chunk_size=1000):
                yield from some

    def delete(self, names: list[str]) -> None:
        """Delete objects; those that are not there do not matter."""
        with self._told("delete"), suppress(FileNotFoundError):
            if names:
                self._api.delete(self._store, names)


class BucketRoot:
    """Files of a case in an object store."""

    remote = True

    def __init__(self, objects: Objects, case_id: str, token: str) -> None:
        self._objects, self.name, self._token = objects, case_id, token

    def _key(self, name: str) -> str:
        return f"cases/{self.name}/{name}" if name == MANIFEST else f"data/{self._token}/{name}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BucketRoot) and (self._objects.url, self.name, self._token) == (
            other._objects.url,
            other.name,
            other._token,
        )

    def __hash__(self) -> int:
        return hash((self._objects.url, self.name, self._token))

    def __reduce__(self) -> tuple[Any, ...]:
        return BucketRoot, (self._objects, self.name, self._token)

    def read(self, name: str) -> bytes:
        """A whole file; FileNotFoundError where it is not there."""
        return self._objects.get(self._key(name))[0]

    def blocks(self, name: str) -> Iterator[bytes]:
        """The same piece by piece."""
        yield self.read(name)

    def ranges(self, name: str, starts: list[int], ends: list[int]) -> list[Any]:
        """Parts of it."""
        return self._objects.ranges(self._key(name), starts, ends)

    def files(self) -> dict[str, int]:
        """Sizes of all files that are there."""
        head = f"data/{self._token}/"
        found = {entry["path"].removeprefix(head): entry["size"] for entry in self._objects.entries(head)}
        own = f"cases/{self.name}/"
        return found | {entry["path"].removeprefix(own): entry["size"] for entry in self._objects.entries(own)}

    def shard(self, entry: dict[str, Any]) -> RemoteShard:
        """The shard, of which only what is asked for is fetched."""
        return RemoteShard(self._objects, self._key(entry["path"]), entry)

    def address(self, name: str) -> str:
        """A URL."""
        return f"{self._objects.url}/{self._key(name)}"


class RemoteShard:
    """A shard whose chunks are fetched for each read and decoded by the compiled reader.

    That reader wants a file: it gets one in memory, full of holes, that holds the index and the chunks of one read.
    """

    def __init__(self, objects: Objects, key: str, entry: dict[str, Any]) -> None:
        self._objects, self._key, self._entry = objects, key, entry
        self._lock = threading.Lock()
        self._places, tail = _shard.index_of(entry, self._ranges)
        self._fd = os.memfd_create("shard", os.MFD_CLOEXEC)
        self._size = entry["size"]
        os.ftruncate(self._fd, self._size)
        os.pwrite(self._fd, tail, self._size - len(tail))
        self._shard = _shard.open_shard(Path(f"/proc/self/fd/{self._fd}"), entry)

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):
            os.close(self._fd)

    def _ranges(self, starts: list[int], ends: list[int]) -> list[Any]:
        try:
            return self._objects.ranges(self._key, starts, ends)
        except FileNotFoundError:
            raise IntegrityError("its voxels are missing") from None

    def read(self, start: list[int], stop: list[int], out: Any, threads: int) -> None:
        """As the compiled shard."""
        wanted = _shard.chunks_of(self._entry, start, stop, self._places)
        parts = self._ranges([a for a, _ in wanted], [b for _, b in wanted]) if wanted else []
        with self._lock:
            try:
                for (begin, _), part in zip(wanted, parts, strict=True):
                    os.pwrite(self._fd, part, begin)
                self._shard.read(start, stop, out, threads)
            finally:  # the chunks go; the length stays, which an open shard has checked
                os.ftruncate(self._fd, 0)
                os.ftruncate(self._fd, self._size)
