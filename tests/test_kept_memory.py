"""Memory of large results, kept for the next one: whose it is, when it comes back, what the system may take."""

from __future__ import annotations

import os
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy._core.multiarray import get_handler_name

import fastimg as fi
from fastimg import _arrays, _core

MIB = 1 << 20
HERE = np.empty(0)


@pytest.fixture(autouse=True)
def some():
    with fi.config.use(kept_memory=0):  # nothing of the tests before
        fi.config.set_kept_memory(64 * MIB)
        yield


def made(mib: float, fill: int = 1) -> np.ndarray:
    array = _arrays.empty((int(mib * MIB),), np.uint8, HERE)
    array.fill(fill)
    return array


def test_an_array_owns_its_memory_like_any_other():
    large, small = made(8), made(1)
    assert get_handler_name(large) == "fastimg"
    assert get_handler_name(small) == get_handler_name(np.empty(8 * MIB)) == "default_allocator"
    assert large.flags.owndata
    assert large.base is None
    assert large.nbytes == 8 * MIB


def test_memory_that_is_gone_is_the_next_results():
    one = made(8)
    place = one.ctypes.data
    assert _core.kept() == 0
    view = one[5:]
    del one
    assert _core.kept() == 0  # a view still holds it
    del view
    assert _core.kept() == 8 * MIB
    two = made(7.5)
    assert two.ctypes.data == place
    assert _core.kept() == 0


def test_a_result_comes_from_it_and_leaves_it_behind():
    image = np.random.default_rng(0).integers(-1000, 2000, (40, 200, 200), np.int16)
    expected = np.clip((image.astype(np.float32) + 160) / np.float32(400), 0, 1)
    for _ in range(3):
        result = fi.harmonize.window(image, low=-160, high=240)
        assert get_handler_name(result) == "fastimg"
        np.testing.assert_allclose(result, expected, atol=1e-6)
        result.fill(np.nan)
        del result
        assert _core.kept() == 8 * MIB  # 6.1 in whole huge pages


def test_a_block_is_not_wasted_on_something_small():
    place = made(32).ctypes.data  # gone at once
    assert _core.kept() == 32 * MIB
    half = made(16)
    assert not place <= half.ctypes.data < place + 32 * MIB
    assert _core.kept() == 32 * MIB
    most = made(28)
    assert most.ctypes.data == place


def test_the_oldest_goes_where_too_much_would_stay():
    several = [made(mib) for mib in (24, 30, 34)]
    places = [one.ctypes.data for one in several]
    while several:
        del several[0]
    assert _core.kept() == 64 * MIB  # 30 and 34
    assert made(30).ctypes.data == places[1]
    made(100)
    assert _core.kept() == 64 * MIB  # what is larger than the limit goes to the system
    fi.config.set_kept_memory(40 * MIB)
    assert _core.kept() == 30 * MIB  # the last that was in use
    with fi.config.use(kept_memory=0):
        assert _core.kept() == 0
    assert fi.config.kept_memory() == 40 * MIB


def test_resizing_keeps_what_the_array_holds():
    for mib in (5, 8, 12):
        array = made(8)
        array[:] = np.arange(array.size) % 251
        array.resize(int(mib * MIB))
        kept = min(mib, 8) * MIB
        np.testing.assert_array_equal(array[:kept], np.arange(kept) % 251)
        assert not array[kept:].any()
        array.resize(int(mib * MIB) + 1000)  # once more, now of malloc's memory
        np.testing.assert_array_equal(array[:kept], np.arange(kept) % 251)


def test_numpys_own_memory_is_back_after_an_error():
    with pytest.raises(ValueError, match="negative"):
        _core.empty(np.empty, (-1,), np.float32)
    assert get_handler_name(np.empty(8 * MIB)) == "default_allocator"


def test_many_threads_never_share_a_block():
    def work(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        held: list[np.ndarray] = []
        for _ in range(30):
            held.append(made(rng.uniform(4, 12), seed))
            if len(held) > 2:
                one = held.pop(int(rng.integers(3)))
                if one[:: 1 << 12].max() != seed or one[:: 1 << 12].min() != seed:
                    return False
        return all((one[:: 1 << 12] == seed).all() for one in held)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(1, 9)))
    assert 0 < _core.kept() <= 64 * MIB


def test_a_forked_child_has_its_arrays_and_keeps_nothing_of_its_parent():
    held = made(8, 7)
    made(16)  # gone at once
    child = os.fork()
    if child == 0:
        fine = _core.kept() == 0 and (held == 7).all() and (made(16, 3) == 3).all() and _core.kept() == 16 * MIB
        os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (held == 7).all()
    assert _core.kept() == 16 * MIB


def test_the_system_may_take_what_is_kept():
    rollup = Path("/proc/self/smaps_rollup")
    if "LazyFree" not in rollup.read_text():
        pytest.skip("this kernel does not tell what it may take")

    def lazy() -> int:
        return next(int(line.split()[1]) for line in rollup.read_text().splitlines() if line.startswith("LazyFree"))

    before = lazy()
    made(32)
    assert lazy() - before >= 31 << 10
    fi.config.set_kept_memory(0)
    assert lazy() - before < 1 << 10


def test_kept_memory_makes_room_where_the_address_space_ends():
    code = (
        "import resource, numpy as np, fastimg as fi\n"
        "from fastimg import _arrays, _core\n"
        "fi.config.set_kept_memory(1 << 30)\n"
        "_arrays.empty((600 << 20,), np.uint8, np.empty(0))\n"
        "assert _core.kept() == 600 << 20\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20),) * 2)\n"
        "_arrays.empty((400 << 20,), np.uint8, np.empty(0))\n"
        "try:\n"
        "    _arrays.empty((1200 << 20,), np.uint8, np.empty(0))\n"
        "except MemoryError:\n"
        "    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["refused"], done.stderr


def test_an_array_may_go_while_the_interpreter_ends():
    code = (
        "import numpy as np, atexit\nfrom fastimg import _arrays\n"
        "kept = [_arrays.empty((8 << 20,), np.uint8, np.empty(0))]\n"
        "class Late:\n    def __del__(self, kept=kept): kept.clear()\n"
        "late = Late()\nlate.itself = late\natexit.register(print, 'end')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_an_array_dies_once():
    array = made(8)
    gone = weakref.ref(array)
    del array
    assert gone() is None
    assert _core.kept() == 8 * MIB
