"""Functions that worker processes import: for maps over cases and voxels, and workers that are killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import fastimg as fi


def total(case):
    """Sum of the voxels, and where it was computed."""
    return int(case.image().array.sum()), os.getpid(), (fi.config.threads(), fi.config.kept_memory())


def _die():
    if multiprocessing.parent_process() is None:
        raise RuntimeError("this is no worker process")
    os.kill(os.getpid(), signal.SIGKILL)


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
        _die()
    return case.case_id


def die_always(case):
    """Every worker that meets case c is killed."""
    if case.case_id == "c":
        _die()
    return case.case_id


def slow_total(case, folder):
    """Sum of the voxels, after long enough to be killed meanwhile; each call leaves a mark."""
    Path(folder, f"{case.case_id}-{os.getpid()}-{time.monotonic_ns()}").touch()
    time.sleep(0.03)
    return int(case.image().array.sum())


def store_total(case, path, folder):
    """A commit by the worker: features into the cohort; some workers die right after it."""
    fi.Cohort.open(path, mode="r+").set_features(case.case_id, {"m": {"total": float(case.image().array.sum())}})
    mark = Path(folder, "dead-" + case.case_id)
    if case.case_id in "bdf" and not mark.exists():
        mark.touch()
        _die()
    return case.case_id


def device(case):
    """What this worker sees, and who it is."""
    time.sleep(0.02)
    return os.environ.get("CUDA_VISIBLE_DEVICES"), os.getpid(), (fi.config.threads(), fi.config.kept_memory())


def total_on_device(case):
    """Sum of the voxels by the one device that this worker sees, and its pin."""
    import cupy

    assert cupy.cuda.runtime.getDeviceCount() == 1
    image = case.image().to_device("cuda")
    return int(image.array.sum(dtype="int64")), os.environ["CUDA_VISIBLE_DEVICES"], os.getpid()


OFFSET = 3.0


def scaled(value):
    """Half of a voxel and a constant of the module."""
    return value * 0.5 + OFFSET


def within(value, low, label):
    """The voxel where a mask is, else the negative label."""
    return value if low else label * -1
