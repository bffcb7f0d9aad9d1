"""A storm for test_crash: writers that add cases to one cohort and are killed at random moments.

    python storm.py COHORT KILLS WRITERS SEED ACKNOWLEDGED

Each writer is a fork of this process (imports are done once). It appends a case's name to the file ACKNOWLEDGED only
after `add` or `set_features` has returned.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

import numpy as np

import fastimg as fi


def image_of(name: str) -> fi.Image:
    """The voxels a case must have, from its name."""
    random = np.random.default_rng(list(name.encode()))
    shape = (int(random.integers(8, 40)), int(random.integers(30, 70)), 48)
    return fi.Image(random.normal(0, 50, shape).astype(np.int16), spacing=(2, 1, 1), unit="HU")


def write(path: str, writer: str, acknowledged: str) -> None:
    """Add cases until killed; each second one replaces a case that exists."""
    cohort = fi.Cohort.open(path, mode="r+")
    out = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    count = 0
    while True:
        name = f"{writer}-{count}"
        image = image_of(name)
        cohort.add(name, image, {"m": image.array > 20}, {"writer": writer, "count": count}, source=name)
        os.write(out, f"add {name}\n".encode())
        cohort.set_features(name, {"m": {"count": count}})
        os.write(out, f"features {name}\n".encode())
        if count % 2:
            cohort.add("shared", image_of(f"{writer}-{count % 3}"), source=f"{writer}-{count % 3}", replace=True)
            os.write(out, b"add shared\n")
        count += 1


def storm(path: str, kills: int, writers: int, seed: int, acknowledged: str) -> None:
    """Keep `writers` at work, and kill one of them after another."""
    chance = random.Random(seed)
    alive: list[int] = []
    os.close(os.open(acknowledged, os.O_CREAT, 0o666))
    for kill in range(kills):
        while len(alive) < writers:
            child = os.fork()
            if child == 0:
                try:
                    write(path, f"w{seed}-{kill}-{len(alive)}", acknowledged)
                except BaseException as error:
                    print(f"{type(error).__name__}: {error}", flush=True)
                os._exit(1)
            alive.append(child)
        # a random moment after someone's next commit, so that a slow machine sees as many commits as a quick one
        seen = os.path.getsize(acknowledged)
        while os.path.getsize(acknowledged) == seen and any(os.waitpid(p, os.WNOHANG)[0] == 0 for p in alive):
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.04))
        victim = alive.pop(chance.randrange(len(alive)))
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
    for victim in alive:
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)


if __name__ == "__main__":
    storm(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
