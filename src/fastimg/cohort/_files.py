"""Files that a crash cannot tear: written whole, flushed to the disk, renamed; locks that die with their process."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from ..errors import FastimgError, RefusedError
from . import _native

__all__ = [
    "Lock",
    "Slot",
    "Unflushed",
    "crc32c",
    "exchange",
    "free_bytes",
    "new_file",
    "read_bytes",
    "reason_of",
    "storing",
    "sync_file",
    "sync_folder",
    "write_all",
    "write_atomic",
    "write_new",
    "write_whole",
]

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file would be larger than the system allows",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "the folder may not be written to",
    errno.EPERM: "the folder may not be written to",
    errno.EIO: "the disk reports an error",
}


def crc32c(data: Any, value: int = 0) -> int:
    """CRC-32C (Castagnoli) of bytes, going on from `value`."""
    return int(_native.crc32c(data, value))


def free_bytes(path: str | os.PathLike[str]) -> int:
    """Bytes that an ordinary user may still write on the disk of `path` (the nearest parent that exists)."""
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def reason_of(error: OSError) -> str:
    """Why something could not be stored, in words."""
    return _REASONS.get(error.errno or 0, os.strerror(error.errno) if error.errno else str(error))


@contextmanager
def storing(what: str) -> Iterator[None]:
    """Turn an OSError into a FastimgError that says what was not stored and why."""
    try:
        yield
    except OSError as error:
        raise FastimgError(f"{what}: {reason_of(error)}; nothing of it was kept") from error


class Unflushed:
    """New files whose writing has begun, flushed to the disk together: a journal commits once then, not once a file.

    They stay open until then, as the system tells an error of writing to who holds the file. At most `_WAITING` wait.
    """

    _WAITING = 64

    def __init__(self) -> None:
        self._descriptors: list[int] = []

    def add(self, fd: int) -> None:
        """Take a file over."""
        self._descriptors.append(fd)
        _native.begin_flush(fd)
        if len(self._descriptors) > self._WAITING:
            self.flush()

    def flush(self, folders: Iterable[Path] = ()) -> None:
        """Flush them all and the entries of these folders, side by side, and close them."""
        try:
            for folder in folders:
                self._descriptors.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            _native.flush(self._descriptors)
        finally:
            self.close()

    def close(self) -> None:
        """Give up what was not flushed."""
        while self._descriptors:
            os.close(self._descriptors.pop())


@contextmanager
def new_file(path: Path, unflushed: Unflushed | None = None, *, mode: int = 0o666) -> Iterator[int]:
    """The descriptor of a file that did not exist; flushed after the block, or later with others."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        yield fd
        if unflushed is not None:
            taken, fd = fd, -1
            unflushed.add(taken)
        else:
            os.fsync(fd)
    finally:
        if fd >= 0:
            os.close(fd)


def write_all(fd: int, data: Any) -> None:
    """Write the bytes of an object to a descriptor."""
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(fd, view) :]


def write_new(path: Path, *parts: Any, mode: int = 0o666, unflushed: Unflushed | None = None) -> None:
    """Write a file that does not exist yet and flush it to the disk, or leave that for later."""
    with new_file(path, unflushed, mode=mode) as fd:
        for part in parts:
            write_all(fd, part)


def write_atomic(path: Path, data: bytes, scratch: Path, *, mode: int = 0o666) -> None:
    """Replace a file as a whole; `scratch` is a folder on the same file system for the unfinished one."""
    temporary = scratch / f"{uuid.uuid4().hex}.part"
    try:
        write_new(temporary, data, mode=mode)
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    sync_folder(path.parent)


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace a file as a whole and flush it: whoever opens it sees the old content or the new.

    Parameters
    ----------
    path : path
        In a folder that exists; the unfinished file lies there too.
    data : bytes

    Raises
    ------
    FastimgError
        The operating system refused; the old content stays.
    """
    target = Path(path)
    with storing(target.name):
        write_atomic(target, data, target.parent)


def read_bytes(path: Path) -> bytes:
    """The whole file; quicker than Path.read_bytes, which opening many cases feels."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        data = os.read(fd, size + 1)
        while len(data) < size:
            more = os.read(fd, size - len(data))
            if not more:
                break
            data += more
        return data
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Flush a file to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def exchange(first: Path, second: Path) -> bool:
    """Swap two folders in one step (renameat2, RENAME_EXCHANGE). False where the system cannot."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    at_cwd, swap = -100, 2
    if call(at_cwd, os.fsencode(first), at_cwd, os.fsencode(second), swap) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code))


class Lock:
    """An exclusive lock on a file, released by the system when the process ends.

    The file tells who holds it (process and host), for the message of whoever comes second.
    """

    def __init__(self, path: Path, what: str, *, wait: bool = False) -> None:
        self._path, self._what, self._wait = path, what, wait
        self._fd = -1

    def __enter__(self) -> Self:
        with storing(self._what):
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | (0 if self._wait else fcntl.LOCK_NB))
            except BlockingIOError:
                holder = os.pread(fd, 4096, 0).decode("utf-8", "replace").strip() or "another process"
                os.close(fd)
                raise RefusedError(f"{self._what}: {holder} is at work on it; wait until it ends, or end it") from None
            except BaseException:
                os.close(fd)
                raise
            if not self._wait:
                os.ftruncate(fd, 0)
                os.pwrite(fd, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        self._fd = fd
        return self

    def __exit__(self, *_: object) -> None:
        if not self._wait:
            with suppress(OSError):
                os.ftruncate(self._fd, 0)
        os.close(self._fd)
        self._fd = -1


class Slot:
    """A writer's private folder under .tmp and the locked note of what it is about.

    The note names the case whose index row must be looked at again if the writer dies. Whoever can take its lock knows
    that the writer is gone.
    """

    def __init__(self, tmp: Path, case_id: str) -> None:
        self._left, self._locked = False, True
        while True:
            token = uuid.uuid4().hex
            self.note, self.folder, self.previous = (tmp / f"{token}{end}" for end in (".note", "", ".previous"))
            self._fd = os.open(self.note, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX)
            except OSError:  # a file system without locks: the note alone marks the place, gc leaves it
                self._locked = False
            if os.fstat(self._fd).st_nlink:  # else a gc took it for a dead one between open and lock
                break
            os.close(self._fd)
        try:
            os.pwrite(
                self._fd, json.dumps({"case_id": case_id, "pid": os.getpid(), "host": socket.gethostname()}).encode(), 0
            )
            self.folder.mkdir()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove folder and note."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.previous, ignore_errors=True)
        with suppress(FileNotFoundError):
            self.note.unlink()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def keep(self, unflushed: Unflushed) -> bool:
        """The note among what is to be flushed, so that not even a power failure loses it; False where nobody could tell
        that it was left."""
        if self._locked:
            unflushed.add(os.dup(self._fd))
        return self._locked

    def leave(self) -> None:
        """Give up the lock but leave the note, so that the case's row is looked at again."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._left = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._left:
            self.close()


@contextmanager
def orphan(note: Path) -> Iterator[dict[str, Any] | None]:
    """The content of a dead writer's note, or None while the writer lives (or the note is gone)."""
    try:
        fd = os.open(note, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
            return
        try:
            content = json.loads(os.pread(fd, 65536, 0) or b"{}")
        except ValueError:
            content = {}
        yield content if isinstance(content, dict) else {}
    finally:
        os.close(fd)
