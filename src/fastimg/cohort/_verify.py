"""Is everything there, and as it was written? And clearing up after writers that died."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import config
from ..errors import ArgumentError, FastimgError, FormatError, IntegrityError
from ..findings import Finding
from . import _features, _remove
from ._case import MANIFEST, Case
from ._files import crc32c, orphan
from ._group import voxel_digest
from ._root import Root
from ._shard import ChunkChecks

if TYPE_CHECKING:
    from ._folder import Folder
    from ._place import Place

__all__ = ["Report", "collect", "index", "leftovers", "verify"]


@dataclass(slots=True)
class Report:
    """What `Cohort.verify` saw.

    Attributes
    ----------
    findings : list of Finding
        case-damaged for each thing that differs from its manifest; leftover; index-stale; removal-key.
    cases, files, bytes : int
        How much was looked at.
    full : bool
        Whether voxels were compared with their digests.
    """

    full: bool
    findings: list[Finding] = field(default_factory=list)
    cases: int = 0
    files: int = 0
    bytes: int = 0

    @property
    def ok(self) -> bool:
        """True if no case is damaged, and it can be told who was removed."""
        return not any(f.severity == "error" for f in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        counts = {"cases": self.cases, "files": self.files, "bytes": self.bytes}
        return {"ok": self.ok, "full": self.full, **counts, "findings": [f.to_dict() for f in self.findings]}


def verify(place: Place, *, full: bool, threads: int | None) -> Report:
    """See `Cohort.verify`."""
    report = Report(full)
    if threads is not None and threads < 1:
        raise ArgumentError(f"threads: must be a positive number or None, got {threads!r}")
    with ThreadPoolExecutor(threads or config.threads()) as pool:
        names = place.case_ids()
        for found, files, size in pool.map(lambda case_id: _case(place, case_id, full), names):
            report.findings += found
            report.cases += 1
            report.files += files
            report.bytes += size
    report.findings += [*place.audit(set(names)), *_remove.audit(place)]
    return report


def _damaged(case_id: str, message: str) -> Finding:
    return Finding("case-damaged", message, case_id)


def _case(place: Place, case_id: str, full: bool) -> tuple[list[Finding], int, int]:
    found: list[Finding] = []
    try:
        case = place.case(case_id)
    except (IntegrityError, FormatError, ArgumentError, KeyError, OSError) as error:
        return [_damaged(case_id, _text(error))], 0, 0
    present, manifest = case.root.files(), case.manifest
    # manifests of before know no checksum over the chunks
    shards = {entry["path"]: entry for entry in case.entries().values() if "chunks_crc32c" in entry}
    size = 0
    for name, expected in manifest["files"].items():
        try:
            if present.pop(name, None) is None:
                raise FileNotFoundError
            length, check, own = _check(case.root, name, shards.get(name))
        except OSError:
            found.append(_damaged(case_id, f"{name}: missing or unreadable"))
            continue
        size += length
        if length != expected["size"]:
            found.append(_damaged(case_id, f"{name}: {length} bytes, the manifest says {expected['size']}"))
        elif f"{check:08x}" != expected["crc32c"]:
            found.append(_damaged(case_id, f"{name}: its bytes differ from their checksum"))
        elif not own:
            found.append(_damaged(case_id, f"{name}: whole, but other voxels than the manifest's"))
    foreign = sorted(present.keys() - {MANIFEST, _features.NAME})
    found += [_damaged(case_id, f"{name}: is not in the manifest") for name in foreign]
    try:
        _ = case.features
    except FastimgError as error:
        found.append(_damaged(case_id, _text(error)))
    if full and not found:
        found += _voxels(case)
    return found, len(manifest["files"]), size


def _voxels(case: Case) -> list[Finding]:
    found = []
    for name, entry in case.entries().items():
        try:
            same = voxel_digest(case.part(entry, tuple(slice(0, n) for n in entry["shape"]), 1)) == entry["digest"]
        except FastimgError as error:
            found.append(_damaged(case.case_id, _text(error)))
            continue
        if not same:
            found.append(_damaged(case.case_id, f"{name}: its voxels differ from their digest"))
    return found


def _check(root: Root, name: str, entry: dict[str, Any] | None) -> tuple[int, int, bool]:
    """Size, CRC, and whether the chunks of a shard are those of the manifest, which its CRC cannot tell (shard.hpp)."""
    size = check = 0
    seen = None
    if entry is not None:
        with suppress(FastimgError):  # no such index: its size or its CRC tell
            seen = ChunkChecks(entry, lambda starts, ends: root.ranges(name, starts, ends))
    for block in root.blocks(name):
        size += len(block)
        check = crc32c(block, check)
        if seen is not None:
            seen.see(block)
    return size, check, seen is None or entry is None or seen.crc() == entry["chunks_crc32c"]


def _text(error: Exception) -> str:
    return "its folder is missing" if isinstance(error, KeyError) else str(error)


def leftovers(place: Folder) -> list[Finding]:
    """A finding for each thing that no living writer owns."""
    with suppress(FileNotFoundError):
        return [Finding("leftover", "", path.name) for path in _dead(place.tmp)]
    return []


def _dead(tmp: Path) -> list[Path]:
    """What no living writer owns: notes whose lock is free, their folders, unfinished files older than a day."""
    living: set[str] = set()
    entries = sorted(tmp.iterdir())
    for note in entries:
        if note.suffix == ".note":
            with orphan(note) as content:
                if content is None:
                    living.add(note.stem)
    # a note is made before its folder and goes after it: a folder without a note has no owner
    return [p for p in entries if p.stem not in living and (p.suffix != ".part" or _old(p))]


def _old(path: Path, seconds: float = 86400.0) -> bool:
    import time

    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime > seconds
    return False


def index(place: Folder, folders: set[str]) -> list[Finding]:
    """Whether the index is sound and of these cases; it is made anew where it may be written."""
    sound = place.index.sound()
    try:
        listed = set(place.names()) if sound else folders
    except FastimgError:
        sound, listed = False, folders
    found = [
        _damaged(case_id, "stands in the index, but its folder is missing")
        for case_id in sorted(listed - folders)
        if not (place.cases / case_id).exists()
    ]
    if place.writable:
        if place.index.rebuild() or not sound:
            found.append(Finding("index-stale", "", "index"))
    elif listed != folders or not sound:
        found.append(
            Finding("index-stale", "`fastimg verify --rebuild`, or verify with mode='r+', rebuilds it.", "index")
        )
    return found


def collect(place: Folder) -> list[Finding]:
    """See `Cohort.gc`."""
    with place.reader():  # sets right the rows of dead writers' cases first
        pass
    removed = []
    # folders before their notes: a kill between leaves a note, and the next gc finds it
    for path in sorted(_dead(place.tmp), key=lambda p: p.suffix == ".note"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        removed.append(Finding("leftover", "removed", path.name))
    return removed
