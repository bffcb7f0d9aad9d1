"""Bringing a cohort of an older format up to date.

cohort.json names the format and is written last, in one step: a kill before leaves a cohort of the old format with
everything in it, a kill after one of the new format whose tidying the next writer ends.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import FormatError, RefusedError
from . import _remove
from ._files import Lock, orphan, storing, write_atomic
from ._folder import Folder
from ._manifest import COHORT, newest, pack
from ._place import COHORT_FILE

__all__ = ["migrate"]


def migrate(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Bring the cohort in a folder to the format that this fastimg writes.

    From 1 to 2: names of tombstones become keyed hashes. Cases are not touched.

    Parameters
    ----------
    path : path
        A cohort on a local file system.

    Returns
    -------
    (before, after) : int
        Versions; equal where nothing was to be done.

    Raises
    ------
    RefusedError
        A run or a writer is at work on the cohort.
    FormatError
        Not a cohort, or of a newer format.
    """
    folder = Path(path)
    if not (folder / COHORT_FILE).exists():
        raise FormatError(f"migrate: {folder} is not a cohort (it has no {COHORT_FILE})")
    with storing("migrate"):
        before = Folder(folder, writable=False).version  # refuses what is newer
        tmp = folder / ".tmp"
        tmp.mkdir(exist_ok=True)
        with Lock(folder / ".lock", f"cohort {folder.name}"):
            place = Folder(folder, writable=False)
            if place.version < newest(COHORT):
                _refuse_writers(tmp)
                (folder / _remove.FOLDER).mkdir(exist_ok=True)
                if not place.exists(_remove.KEY):
                    write_atomic(folder / _remove.KEY, _remove.new_key(), tmp, mode=0o600)
                _remove.add_keyed(place)
                write_atomic(folder / COHORT_FILE, pack(COHORT, place.settings), tmp)
            Folder(folder, writable=True)  # drops the old names, ends what was cut short
    return before, newest(COHORT)


def _refuse_writers(tmp: Path) -> None:
    for note in tmp.glob("*.note"):
        if note.exists():
            with orphan(note) as content:
                if content is None and note.exists():
                    raise RefusedError("migrate: a writer is at work on the cohort; wait until it ends, or end it")
