"""The secret of a site, and the codes made from it: pseudonyms, UIDs, the shift of dates.

All codes are HMAC-SHA-256 (RFC 2104) under the key and a label of their kind. The same key gives the same codes in every
run; without the key they can be neither made nor linked. They are pseudonyms: whoever holds the key can test a guess.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import stat
import unicodedata
from pathlib import Path

from fastimg.errors import ArgumentError, FormatError, RefusedError

from ._charset import without_escapes

__all__ = ["check_key", "code_of", "day_shift", "load_key", "pseudonym", "replacement_uid"]

HEADER = "fastimg-key 1"
LEAST = 16  # bytes of a key


def load_key(
    path: str | os.PathLike[str], *, create: bool = False, outside: str | os.PathLike[str] | None = None
) -> bytes:
    """The site's key: 32 random bytes from a file that only its owner can read.

    Parameters
    ----------
    path : path
        Keep it outside of the cohort: who has both can link cases to patients.
    create : bool
        Make the file (mode 0600) if it is absent.
    outside : path, optional
        A folder in which the key must not lie: the cohort or the export that is made with it.

    Returns
    -------
    bytes

    Raises
    ------
    RefusedError
        The file can be read or written by others, is a symbolic link or no plain file, or lies inside `outside`.
    FormatError
        Not a key file, or of a newer version.
    ArgumentError
        The file is absent and `create` is false.
    """
    path = Path(path)
    if outside is not None and Path(outside).resolve() in path.resolve().parents:
        raise RefusedError(f"load_key: {path} lies inside the folder whose pseudonyms it makes; keep it apart")
    if create:
        _make(path)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ArgumentError(f"load_key: {path} does not exist; create=True makes a new key") from None
    except OSError as error:
        raise RefusedError(f"load_key: {path} cannot be opened as a plain file ({error.strerror})") from None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError(f"load_key: {path} is not a plain file")
        if status.st_mode & 0o077:
            raise RefusedError(f"load_key: {path} is open to others; run: chmod 600 {path}")
        text = file.read(4096).decode("ascii", "replace").split("\n")
    if text[0].startswith("fastimg-key ") and text[0] != HEADER:
        raise FormatError(f"load_key: {path} was written by a newer version of fastimg")
    try:
        key = bytes.fromhex(text[1])
    except (IndexError, ValueError):
        key = b""
    if text[0] != HEADER or len(key) != 32:
        raise FormatError(f"load_key: {path} is not a key file of fastimg")
    return key


def _make(path: Path) -> None:
    """Written beside and linked into place: no reader ever sees half a key, and of two makers one wins."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{HEADER}\n{secrets.token_hex(32)}\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(beside, path)
    finally:
        os.unlink(beside)


def check_key(key: bytes, name: str) -> bytes:
    """The key, if it is one."""
    if not isinstance(key, bytes) or len(key) < LEAST:
        raise ArgumentError(f"{name}: key must be at least {LEAST} bytes, such as load_key returns")
    return key


def _digest(kind: str, value: str, key: bytes) -> bytes:
    text = unicodedata.normalize("NFC", without_escapes(value)).strip(" \0")
    return hmac.new(key, f"fastimg {kind} 1\0{text}".encode(), hashlib.sha256).digest()


def pseudonym(value: str, *, key: bytes) -> str:
    """A keyed code for a subject, a file or a source: 32 hexadecimal digits (128 bits).

    Blanks around the value, which DICOM adds to even lengths, do not count; nor do the way accents are composed and
    escape sequences of character sets.

    Parameters
    ----------
    value : str
        What is replaced: a PatientID, a UID, a path.
    key : bytes
        The site's secret, 16 bytes or more, from `load_key`. The same value and key give the same code.

    Returns
    -------
    str
        The first 128 bits of an HMAC-SHA-256 (RFC 2104) of the value in Unicode NFC.

    Raises
    ------
    ArgumentError
        A key that is shorter, or not bytes.
    """
    return _digest("pseudonym", str(value), check_key(key, "pseudonym"))[:16].hex()


def code_of(kind: str, *values: str, key: bytes) -> str:
    """A short keyed code of a few values, such as "batch-1f2e3d4c5b6a" (48 bits)."""
    joined = "\x1f".join(value.strip() for value in values)
    return f"{kind}-{_digest(kind, joined, check_key(key, 'code_of'))[:6].hex()}"


def replacement_uid(value: str, *, key: bytes) -> str:
    """Another UID in the 2.25 form (PS3.5 B.2): a UUID of version 8 (RFC 9562) whose 122 free bits are keyed."""
    number = int.from_bytes(_digest("uid", str(value), key)[:16], "big")
    number = number & ~(0xF << 76) | (0x8 << 76)
    number = number & ~(0x3 << 62) | (0x2 << 62)
    return f"2.25.{number}"


def day_shift(subject: str, *, key: bytes) -> int:
    """Days by which all dates of a subject move: 1 to 1461 (four years) back, the same in every file of the subject."""
    return -1 - int.from_bytes(_digest("days", str(subject), key)[:8], "big") % 1461
