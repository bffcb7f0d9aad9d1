"""A node's log: one JSON line a decision, each bound to the one before by SHA-256; and the releases it remembers.

A chain shows that a line was changed, taken out or put in between, as long as its head is known elsewhere: the head goes
into every result. A line carries a random salt, so that a head tells nothing about the line's content.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import json
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import FormatError, IntegrityError, RefusedError

__all__ = ["Log", "verify"]

_FORMAT = "fastimg-federation-log"
_VERSION = 1
_FIRST = "0" * 64
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_LEAST = 3
_UNPROVEN = ("rule identity", "rule expiry", "FormatError")  # refusals of what a requester may not have asked
_MOST_ASKED = 100_000  # rounds of a requester that are remembered for his rate


def _line_hash(previous: str, record: dict[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


def verify(path: str | os.PathLike[str]) -> tuple[int, str]:
    """(lines, head) of a whole log.

    Parameters
    ----------
    path : path
        The log's file.

    Returns
    -------
    lines, head : int, str
        Number of lines, and the hash of the last one.

    Raises
    ------
    IntegrityError
        A line was changed, removed or inserted; the message names its number.
    """
    lines, head = 0, _FIRST
    for lines, record in enumerate(_read(Path(path)), 1):
        claimed = record.pop("hash", None)
        if record.get("line") != lines or record.get("previous") != head or _line_hash(head, record) != claimed:
            raise IntegrityError(f"audit: line {lines} of {Path(path).name} does not follow from the line before")
        head = str(claimed)
    return lines, head


def _read(path: Path) -> Any:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return
    if text and not text.endswith(b"\n"):
        raise IntegrityError(f"audit: the last line of {path.name} is cut short")
    for number, line in enumerate(text.splitlines(), 1):
        try:
            record = json.loads(line)
            if record["format"] != _FORMAT:
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise IntegrityError(f"audit: line {number} of {path.name} is not a record") from None
        if record["version"] != _VERSION:
            raise FormatError(f"audit: {path.name} has version {record['version']}; this fastimg reads {_VERSION}")
        yield record


class Log:
    """Append-only; made at the first line. A log that does not verify refuses every query."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._lines, self._head = verify(self.path)
        self._size = self.path.stat().st_size if self.path.exists() else 0
        self._sets: dict[str, npt.NDArray[np.uint64]] = {}  # digest -> codes of the rows of a release
        self._columns: dict[str, set[str]] = {}  # column -> digests of the sets over which it was summed
        self.answers: dict[str, str] = {}  # question -> digest of the last answer
        self._last: dict[str, tuple[int, int]] = {}  # nonce -> (attempt, round) that was answered last
        self._opened: dict[str, set[frozenset[str]]] = {}  # question -> sets of nodes of opened sums
        self._asked: dict[str, deque[float]] = {}  # requester -> when
        self.serial = 0  # of the newest roster that was seen
        for record in _read(self.path):
            self._take(record, calendar.timegm(time.strptime(record["time"], _TIME)))

    def _take(self, record: dict[str, Any], when: float) -> None:
        """What later decisions depend on."""
        event = record.get("event")
        if event == "released":
            self._last[record["nonce"]] = (record["attempt"], record["round"])
            if "answer" in record:
                self.answers[record["question"]] = record["answer"]
        if event == "opened":
            self._opened.setdefault(record["question"], set()).add(frozenset(record["survivors"]))
        if event == "roster":
            self.serial = max(self.serial, record["serial"])
        if event in ("released", "refused") and "requester" in record and record.get("rule") not in _UNPROVEN:
            self._asked.setdefault(record["requester"], deque(maxlen=_MOST_ASKED)).append(when)
        for digest, text in record.get("sets", {}).items():
            self._sets[digest] = np.frombuffer(base64.b64decode(text), "<u8")
        for digest, columns in record.get("columns", {}).items():
            for column in columns:
                self._columns.setdefault(column, set()).add(digest)

    def follows(self, nonce: str, attempt: int, number: int) -> None:
        """Refuse a round that was answered, or is not the next one of its request, also after a restart."""
        before = self._last.get(nonce)
        if before is None:
            if number != 1 or attempt < 1:
                raise RefusedError("rule order: a request begins with its first round")
            return
        if attempt <= before[0] and number <= before[1]:
            raise RefusedError("rule replay: this round was answered before")
        if attempt < before[0] or not before[1] <= number <= before[1] + 1:
            raise RefusedError("rule order: this is not the next round of the request")

    def asked(self, requester: str) -> int:
        """Rounds of this requester within the last hour, answered or refused."""
        since = time.time() - 3600
        return sum(when > since for when in self._asked.get(requester, ()))

    def permit(self, question: str, nodes: Sequence[str]) -> None:
        """Refuse to open a sum over nodes that differ by one or two from those of an earlier sum of the same question."""
        mine = frozenset(nodes)
        for other in self._opened.get(question, ()):
            if 0 < len(mine ^ other) < _LEAST:
                raise RefusedError(
                    f"rule rerun: the nodes differ by fewer than {_LEAST} from those of an earlier sum of this question"
                )

    @property
    def head(self) -> str:
        """The last line's hash."""
        return self._head

    def append(self, *, sync: bool = True, **fields: Any) -> str:
        """One line, on the disk (with `sync`) when this returns; its hash."""
        with self._lock:
            record = {"format": _FORMAT, "version": _VERSION, "line": self._lines + 1, "previous": self._head}
            record |= {
                "time": time.strftime(_TIME, time.gmtime()),
                "salt": os.urandom(16).hex(),
                **fields,
            }
            head = _line_hash(self._head, record)
            data = json.dumps(record | {"hash": head}, sort_keys=True, separators=(",", ":")).encode() + b"\n"
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                if os.fstat(descriptor).st_size != self._size:
                    raise IntegrityError("audit: something else wrote to this log; a log has one node")
                os.write(descriptor, data)
                if sync:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._size += len(data)
            self._lines, self._head = self._lines + 1, head
            self._take(record, time.time())
            return head

    def admit(
        self, contributed: Sequence[tuple[npt.NDArray[np.uint64], Sequence[str]]], minimum: int
    ) -> dict[str, Any]:
        """The fields of a release of these columns over these rows (`Rows.contributed`).

        Two sums of one column over rows of which those of 1 to minimum - 1 patients differ give away these few: refused.
        """
        sets, columns = dict[str, str](), dict[str, list[str]]()
        compared = set[tuple[str, str]]()
        for mine, names in contributed:
            digest = hashlib.sha256(mine.astype("<u8").tobytes()).hexdigest()
            others = set[str]().union(*(self._columns.get(name, ()) for name in names))
            for other in others - {digest}:
                if (digest, other) not in compared:
                    compared.add((digest, other))
                    self._compare(mine, self._sets[other], minimum)
            new = [name for name in names if digest not in self._columns.get(name, ())]
            if new:
                columns.setdefault(digest, []).extend(new)
            if digest not in self._sets:
                sets[digest] = base64.b64encode(mine.astype("<u8").tobytes()).decode()
        return {"sets": sets, "columns": columns}

    @staticmethod
    def _compare(mine: npt.NDArray[np.uint64], other: npt.NDArray[np.uint64], minimum: int) -> None:
        rows = np.setxor1d(mine, other)
        if 0 < len(np.unique(rows >> np.uint64(24))) < minimum:
            raise RefusedError(
                f"rule differencing: the patients differ by fewer than {minimum} from those of an earlier release"
            )
