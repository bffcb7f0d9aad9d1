"""Rung 5: Numba's CUDA kernels in its simulator, in a process of their own (the simulator is chosen at import)."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import numpy as np
from fastimg import _voxelwise_cuda

inputs = [np.arange(1, 780, dtype=np.float32) * k for k in (1, 2, 3, 4)]
functions = [
    lambda a: a * a,
    lambda a, b: a - b,
    lambda a, b, c: a + b / c,
    lambda a, b, c, d: a * b - c * d,
]
for count, function in enumerate(functions, 1):
    out = np.empty_like(inputs[0])
    _voxelwise_cuda.run(function, *inputs[:count], out)
    np.testing.assert_array_equal(out, function(*inputs[:count]))
print("simulated")
"""


def test_map_voxels_kernels():
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "simulated"
