"""What a node answered, kept beside its log: an identical question gets the stored numbers, not new ones.

So a patient who came, or a value that was corrected, in between does not show in the difference of two answers.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from ..errors import FormatError
from ._codec import dumps, loads

__all__ = ["Stored"]

_LARGEST = 64 << 20  # bytes of one answer that is kept
_KEPT = 256 << 20  # of all; the oldest go first, and are answered anew under all rules
_NAME = re.compile(r"[0-9a-f]{64}")


class Stored:
    """A folder of files, each named by its question's digest; the log says which bytes a file must have."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, question: str, digest: str | None) -> dict[str, Any] | None:
        """The stored answer; None where there is none, or it is not the one that the log names."""
        if digest is None or not _NAME.fullmatch(question):
            return None
        try:
            data = (self.folder / question).read_bytes()
            if hashlib.sha256(data).hexdigest() != digest:
                return None
            found = loads(data)
        except (OSError, FormatError):
            return None
        return found if isinstance(found, dict) else None

    def put(self, question: str, answer: dict[str, Any]) -> str:
        """Keep an answer (one that is too large is not kept); the digest of its bytes, for the log."""
        data = dumps(answer)
        digest = hashlib.sha256(data).hexdigest()
        if len(data) > _LARGEST:
            return digest
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._make_room(len(data))
        temporary = self.folder / f".{question}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as stream:
            stream.write(data)
        os.replace(temporary, self.folder / question)
        return digest

    def _make_room(self, size: int) -> None:
        found = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                about = entry.stat(follow_symlinks=False)
                found.append((about.st_mtime_ns, about.st_size, entry.path))
        total = size + sum(item[1] for item in found)
        for _, own, path in sorted(found):
            if total <= _KEPT:
                break
            os.unlink(path)
            total -= own
