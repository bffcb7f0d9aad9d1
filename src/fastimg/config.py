"""Threads, instruction-set level, memory limit and kept memory of this process.

Each has a default (the cores this process may use, the best level of the processor, half of the memory, a 32nd of it), an
environment variable (FASTIMG_THREADS, FASTIMG_ISA, FASTIMG_MEMORY, FASTIMG_KEPT) and can be set for a block:

>>> import fastimg as fi
>>> with fi.config.use(threads=1):
...     fi.config.threads()
1
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from . import _core
from .errors import ArgumentError

__all__ = [
    "LEVELS",
    "isa",
    "kept_memory",
    "memory_limit",
    "set_isa",
    "set_kept_memory",
    "set_memory_limit",
    "set_threads",
    "supported_isa",
    "threads",
    "use",
]

LEVELS = ("baseline", "avx2", "avx512")

_memory_limit: int | None = None


def threads() -> int:
    """Number of threads that native loops use."""
    return int(_core.threads())


def set_threads(count: int | None) -> None:
    """Set the number of threads; None means the cores this process may run on.

    Parameters
    ----------
    count : int or None
        Threads of every native loop of this process, from 1.

    Raises
    ------
    ArgumentError
        Below 1.
    """
    if count is not None and count < 1:
        raise ArgumentError(f"config: threads must be a positive number or None, got {count!r}")
    _core.set_threads(count or 0)


def isa() -> str:
    """The instruction-set level in force: "baseline", "avx2" or "avx512". Results are the same bits at each."""
    return LEVELS[_core.level()]


def supported_isa() -> tuple[str, ...]:
    """The levels this processor can run."""
    return LEVELS[: _core.supported_level() + 1]


def set_isa(level: str | None) -> None:
    """Set the level; None means the best of the processor.

    Parameters
    ----------
    level : {"baseline", "avx2", "avx512"} or None
        See `LEVELS` and `supported_isa`.

    Raises
    ------
    ArgumentError
        An unknown level, or one that this processor does not run.
    """
    if level is None:
        level = supported_isa()[-1]
    if level not in LEVELS:
        raise ArgumentError(f"config: isa must be one of {', '.join(LEVELS)}, got {level!r}")
    if level not in supported_isa():
        raise ArgumentError(f"config: this processor does not run {level}; it runs {', '.join(supported_isa())}")
    _core.set_level(LEVELS.index(level))


def memory_limit() -> int:
    """Bytes a single operation may allocate for its result before it refuses."""
    if _memory_limit is not None:
        return _memory_limit
    return _memory() // 2


def set_memory_limit(limit: int | None) -> None:
    """Set the limit in bytes; None means half of the machine's memory.

    Parameters
    ----------
    limit : int or None
        Bytes, from 1, that the result of one operation may take.

    Raises
    ------
    ArgumentError
        Below 1.
    """
    global _memory_limit
    if limit is not None and limit < 1:
        raise ArgumentError(f"config: the memory limit must be a positive number of bytes or None, got {limit!r}")
    _memory_limit = limit


def kept_memory() -> int:
    """Bytes that large results may leave behind for later ones when they are gone; see `set_kept_memory`."""
    return _core.kept_limit()


def set_kept_memory(limit: int | None) -> None:
    """Set how much memory of large results is kept when they are gone, so that later ones need not be cleared first.

    The system clears a page before it hands it out, which takes longer than many a loop does. Memory that is kept
    counts as this process's, but the system takes it back, unwritten, where memory is short (MADV_FREE).

    Parameters
    ----------
    limit : int or None
        Bytes, from 0 (nothing is kept); None means a 32nd of the machine's memory, at most 1 GiB.

    Raises
    ------
    ArgumentError
        Below 0.
    """
    if limit is not None and limit < 0:
        raise ArgumentError(f"config: the kept memory must be a number of bytes from 0 or None, got {limit!r}")
    _core.set_kept_limit(min(1 << 30, _memory() // 32) if limit is None else limit)


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@contextmanager
def use(
    *,
    threads: int | None = None,
    isa: str | None = None,
    memory_limit: int | None = None,
    kept_memory: int | None = None,
) -> Iterator[None]:
    """Set some of them for a block. The settings are the process's: they hold in all of its threads.

    Parameters
    ----------
    threads : int, optional
        As for `set_threads`. None, here and below, leaves the setting as it is.
    isa : {"baseline", "avx2", "avx512"}, optional
        As for `set_isa`.
    memory_limit : int, bytes, optional
        As for `set_memory_limit`.
    kept_memory : int, bytes, optional
        As for `set_kept_memory`.

    Yields
    ------
    None

    Raises
    ------
    ArgumentError
        A number out of its range, an unknown level, or one that this processor does not run; nothing has changed then.
    """
    before = _settings()
    try:
        if threads is not None:
            set_threads(threads)
        if isa is not None:
            set_isa(isa)
        if memory_limit is not None:
            set_memory_limit(memory_limit)
        if kept_memory is not None:
            set_kept_memory(kept_memory)
        yield
    finally:
        set_threads(before[0])
        set_isa(before[1])
        set_memory_limit(before[2])
        set_kept_memory(before[3])


def _settings() -> tuple[int, str, int | None, int]:
    return threads(), isa(), _memory_limit, kept_memory()


def _from_environment() -> None:
    def whole(name: str, least: int = 1) -> int | None:
        text = os.environ.get(name, "").strip()
        if not text:
            return None
        if not text.isdigit() or int(text) < least:
            raise ArgumentError(f"config: {name} must be a whole number from {least}, got {text!r}")
        return int(text)

    set_threads(whole("FASTIMG_THREADS"))
    set_memory_limit(whole("FASTIMG_MEMORY"))
    set_kept_memory(whole("FASTIMG_KEPT", 0))
    set_isa(os.environ.get("FASTIMG_ISA", "").strip().lower() or None)


_from_environment()
