"""Kill a process in front of each step that it takes on the disk, one after another."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable

import pytest

from fastimg.cohort import _native

# what the interpreter tells before it does it (PEP 578)
STEPS = frozenset({"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree", "sqlite3.connect"})


def kill_before_step(work: Callable[[], None], step: int) -> bool:
    """Run `work` in a fork and kill it with SIGKILL in front of its step number `step`; False where it took fewer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of other tests: the child starts none of its own
        child = os.fork()
    if child == 0:
        try:
            count = 0

            def told(event: str, arguments: tuple) -> None:
                nonlocal count
                writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
                if event in STEPS or writes:
                    if count == step:
                        os.kill(os.getpid(), signal.SIGKILL)
                    count += 1

            sys.addaudithook(told)
            work()
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def flush_by(monkeypatch: pytest.MonkeyPatch, each: Callable[[int], None]) -> None:
    """Every flush of a file or folder, of one or of many together, goes through `each`."""
    monkeypatch.setattr(os, "fsync", each)
    monkeypatch.setattr(_native, "flush", lambda files: [each(fd) for fd in files])
