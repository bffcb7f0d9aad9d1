"""Threads, ISA level and memory limit: defaults, environment, blocks, forks."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import fastimg as fi


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


def test_default_threads_are_the_cores_allowed():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import fastimg as fi; print(fi.config.threads())"
    assert python(code, FASTIMG_THREADS="").stdout.strip() == "1"


def test_environment():
    show = "import fastimg as fi; c = fi.config; print(c.threads(), c.isa(), c.memory_limit(), c.kept_memory())"
    done = python(show, FASTIMG_THREADS="3", FASTIMG_ISA="baseline", FASTIMG_MEMORY="1000000", FASTIMG_KEPT="0")
    assert done.stdout.split() == ["3", "baseline", "1000000", "0"]


def test_kept_memory_is_a_32nd_of_the_machines_and_at_most_a_gigabyte():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    seen = python("import fastimg as fi; print(fi.config.kept_memory())", FASTIMG_KEPT="").stdout
    assert int(seen) == min(memory // 32, 1 << 30)
    with pytest.raises(fi.errors.ArgumentError, match="kept memory"):
        fi.config.set_kept_memory(-1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("FASTIMG_THREADS", "many"), ("FASTIMG_ISA", "avx1024"), ("FASTIMG_MEMORY", "-1"), ("FASTIMG_KEPT", "all")],
)
def test_a_wrong_variable_is_named(name, value):
    done = python("import fastimg as fi; fi.config.threads()", **{name: value})
    assert done.returncode != 0
    assert value in done.stderr
    assert "ArgumentError" in done.stderr


def test_a_block_restores_what_was_before():
    def now() -> tuple[int, str, int, int]:
        return fi.config.threads(), fi.config.isa(), fi.config.memory_limit(), fi.config.kept_memory()

    before = now()
    with pytest.raises(ZeroDivisionError), fi.config.use(threads=7, isa="baseline", memory_limit=5, kept_memory=6):
        assert now() == (7, "baseline", 5, 6)
        raise ZeroDivisionError
    assert now() == before


def test_the_memory_limit_is_kept():
    image = np.zeros((64, 64, 64), np.int16)
    with fi.config.use(memory_limit=1 << 16), pytest.raises(fi.errors.FastimgError, match="memory limit"):
        fi.harmonize.window(image)


def test_the_pool_works_in_a_forked_child():
    values = np.arange(1 << 20, dtype=np.float32)
    expected = fi.harmonize.window(values, low=0, high=1e6, threads=2)
    child = os.fork()
    if child == 0:
        same = np.array_equal(fi.harmonize.window(values, low=0, high=1e6, threads=2), expected)
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_many_python_threads_share_the_pool():
    from concurrent.futures import ThreadPoolExecutor

    values = np.arange(300_000, dtype=np.float32)
    expected = fi.harmonize.window(values, low=0, high=1e6)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: fi.harmonize.window(values, low=0, high=1e6, threads=1 + n % 4), range(64)))
    for seen in found:
        np.testing.assert_array_equal(seen, expected)
