"""Functions that worker processes import."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import fastimg as fi


def total(case):
    """Sum of the voxels, and where it was computed."""
    return int(case.image().array.sum()), os.getpid(), fi.config.threads()


def refuse_b(case):
    """Fails for one case."""
    if case.case_id == "b":
        raise ValueError("no")
    return case.case_id


def die_once(case, folder):
    """The first worker that meets case c is killed; the second try works."""
    mark = Path(folder) / "killed"
    if case.case_id == "c" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return case.case_id


def die_always(case):
    """Every worker that meets case c is killed."""
    if case.case_id == "c":
        os.kill(os.getpid(), signal.SIGKILL)
    return case.case_id


def write(path, names, shape):
    """Add cases, for several writers at once."""
    import numpy as np

    cohort = fi.Cohort.open(path, mode="r+")
    for name in names:
        fill = int(name[1:])
        cohort.add(name, fi.Image(np.full(shape, fill, np.int16)), None, {f"k{fill}": fill, "pid": 1}, source=name)
        cohort.set_features(name, {"m": {"f": fill}})
    return len(cohort)
