"""harmonize against NumPy, SimpleITK and scikit-image where they do the same work."""

from __future__ import annotations

import numpy as np
import pytest

import fastimg as fi
from fastimg.testing import harmonize as twin

WINDOW = "harmonize: window int16 to [0, 1], 78.6 M voxels"


@pytest.mark.benchmark(group=WINDOW)
def bench_window(case, one_thread, ct_volume):
    out = np.empty(ct_volume.shape, np.float32)
    fi.harmonize.window(ct_volume, out=out)
    error = np.abs(out - twin.window(ct_volume.array, -160, 240)).max()
    case(
        lambda: fi.harmonize.window(ct_volume, out=out), nbytes=6 * out.size, items=out.size, unit="voxel", error=error
    )


@pytest.mark.benchmark(group=WINDOW)
def bench_window_numpy(case, ct_volume):
    out = np.empty(ct_volume.shape, np.float32)

    def work():
        np.clip(ct_volume.array, -160, 240, out=out, casting="unsafe")
        np.subtract(out, -160, out=out)
        np.multiply(out, 1 / 400, out=out)

    case(work, tool="numpy (out=)", nbytes=6 * out.size, items=out.size, unit="voxel")


@pytest.mark.benchmark(group=WINDOW)
def bench_window_simpleitk(case, ct_volume):
    sitk = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = sitk.Cast(sitk.GetImageFromArray(ct_volume.array), sitk.sitkFloat32)
    case(
        lambda: sitk.IntensityWindowing(image, -160, 240, 0, 1),
        tool="SimpleITK (from float32)",
        items=ct_volume.array.size,
        unit="voxel",
        rounds=3,
    )
