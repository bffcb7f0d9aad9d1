"""Functions that worker processes import."""

from __future__ import annotations

import os
import signal

import fastimg as fi


def total(case):
    """Sum of the voxels, and where it was computed."""
    return int(case.image().array.sum()), os.getpid(), fi.config.threads()


def refuse_b(case):
    """Fails for one case."""
    if case.case_id == "b":
        raise ValueError("no")
    return case.case_id


def write(path, names, shape, options=None):
    """Add cases, for several writers at once."""
    import numpy as np

    cohort = fi.Cohort.open(path, mode="r+", options=options)
    for name in names:
        fill = int(name[1:])
        cohort.add(name, fi.Image(np.full(shape, fill, np.int16)), None, {f"k{fill}": fill, "pid": 1}, source=name)
        cohort.set_features(name, {"m": {"f": fill}})
    return len(cohort)


def _die_at(step):
    """Killed in front of change number `step` of an object store."""
    from fastimg.cohort import _objects

    count = 0

    def deadly(real):
        def change(*arguments):
            nonlocal count
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            return real(*arguments)

        return change

    for name in ("put", "put_if", "delete"):
        setattr(_objects.Objects, name, deadly(getattr(_objects.Objects, name)))


def write_and_die(url, name, options, step):
    """Add a case with a mask and features."""
    from .storm import image_of

    cohort = fi.Cohort.open(url, mode="r+", options=options)
    _die_at(step)
    image = image_of(name)
    cohort.add(name, image, {"m": image.array > 20}, source=name, features={"m": {"f": 1.0}})


def remove_and_die(url, subject, options, step):
    """Remove a subject."""
    cohort = fi.Cohort.open(url, mode="r+", options=options)
    _die_at(step)
    cohort.remove(subjects=[subject])


def write_small(path, first, last):
    """Add small cases; returns the growth of this process's peak memory after the first tenth, in bytes."""
    import resource

    import numpy as np

    cohort = fi.Cohort.open(path, mode="r+")
    early = 0
    for k in range(first, last):
        voxels = np.random.default_rng(k).integers(-100, 100, (8, 32, 32)).astype(np.int16)
        metadata = {"site": "ABC"[k % 3], "age_years": k % 90, "subject": f"s{k // 2}"}
        cohort.add(f"case-{k:05d}", fi.Image(voxels, unit="HU"), {"m": voxels > 0}, metadata, source=str(k))
        if k == first + (last - first) // 10:
            early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - early)
