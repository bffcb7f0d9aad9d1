"""resampling against SimpleITK, SciPy and NumPy: 512 x 512 x 300 voxels of 0.7, 0.7, 1.5 mm to 1 mm, one thread.

SimpleITK's images are made beforehand; every case makes its result anew, as the peers do. FASTIMG_BENCH_SLOW=1 runs
SimpleITK's B-spline (half a minute a round) too.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

import fastimg as fi

LINEAR = "resampling: linear int16 to 1 mm, 57.5 M voxels"
LINEAR_FLOAT = "resampling: linear float32 to 1 mm"
NEAREST = "resampling: nearest uint8 to 1 mm"
CUBIC = "resampling: cubic B-spline float32 to 1 mm"
ALIAS = "resampling: antialiased linear float32 to 2 mm"


def oblique(kind, about):
    return f"resampling: linear {kind}, turned by 10 degrees about {about}, to 1 mm"


def turned(axis, degrees):
    u = np.array(axis, float) / np.linalg.norm(axis)
    a, cross = np.deg2rad(degrees), -np.cross(np.eye(3), u)
    return np.cos(a) * np.eye(3) + np.sin(a) * cross + (1 - np.cos(a)) * np.outer(u, u)


def turned_grid(image, axis):
    """1 mm, turned about the volume's centre."""
    shape = fi.resampling.Plan(image, spacing=1).shape
    middle = (image.affine @ [*((np.array(image.shape) - 1) / 2), 1])[:3]
    affine = np.eye(4)
    affine[:3, :3] = turned(axis, 10)[:, ::-1]
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return fi.Image(np.broadcast_to(np.uint8(0), shape), affine)


@pytest.fixture(scope="module")
def images(ct_volume):
    return {
        "int16": ct_volume,
        "float32": ct_volume.with_array(ct_volume.array.astype(np.float32)),
        "uint8": ct_volume.with_array((ct_volume.array > -200).astype(np.uint8), unit="label"),
    }


def simpleitk(case, image, grid, interpolator, pixel=None, rounds=2):
    sitk = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    source = image.to_sitk()
    size, spacing, origin = grid.shape[::-1], grid.spacing[::-1], grid.origin
    direction = grid.direction.ravel().tolist()
    kind = getattr(sitk, interpolator)
    case(
        lambda: sitk.Resample(
            source, size, sitk.Transform(), kind, origin, spacing, direction, 0.0, source.GetPixelID()
        ),
        tool="SimpleITK",
        items=np.prod(size),
        unit="voxel",
        rounds=rounds,
    )


def ours(case, image, rounds=4, nbytes=None, **options):
    plan = fi.resampling.Plan(image, **options)
    voxels = int(np.prod(plan.shape))
    moved = nbytes or image.array.nbytes + voxels * image.dtype.itemsize
    case(lambda: plan(image), nbytes=moved, items=voxels, unit="voxel", rounds=rounds)


def straight_grid(image, spacing):
    plan = fi.resampling.Plan(image, spacing=spacing)
    return fi.Image(np.broadcast_to(np.uint8(0), plan.shape), plan.affine)


@pytest.mark.benchmark(group=LINEAR)
def bench_linear(case, one_thread, images):
    ours(case, images["int16"], spacing=1)


@pytest.mark.benchmark(group=LINEAR)
def bench_linear_simpleitk(case, images):
    simpleitk(case, images["int16"], straight_grid(images["int16"], 1), "sitkLinear")


@pytest.mark.benchmark(group=LINEAR_FLOAT)
def bench_linear_float(case, one_thread, images):
    ours(case, images["float32"], spacing=1)


@pytest.mark.benchmark(group=LINEAR_FLOAT)
def bench_linear_float_simpleitk(case, images):
    simpleitk(case, images["float32"], straight_grid(images["float32"], 1), "sitkLinear")


@pytest.mark.benchmark(group=NEAREST)
def bench_nearest(case, one_thread, images):
    ours(case, images["uint8"], spacing=1, order="nearest")


@pytest.mark.benchmark(group=NEAREST)
def bench_nearest_simpleitk(case, images):
    simpleitk(case, images["uint8"], straight_grid(images["uint8"], 1), "sitkNearestNeighbor")


@pytest.mark.benchmark(group=NEAREST)
def bench_nearest_numpy(case, images):
    image = images["uint8"]
    plan = fi.resampling.Plan(image, spacing=1)
    steps = np.array([1, 1, 1]) / image.spacing
    z, y, x = (np.floor(np.arange(n) * s + 0.5).astype(int) for n, s in zip(plan.shape, steps, strict=True))
    work = lambda: image.array.take(x, 2).take(y, 1).take(z, 0)  # noqa: E731
    case(work, tool="numpy take x, y, z", items=np.prod(plan.shape), unit="voxel", rounds=3)


@pytest.mark.benchmark(group=CUBIC)
def bench_cubic(case, one_thread, images):
    ours(case, images["float32"], spacing=1, order="cubic", rounds=3)


@pytest.mark.benchmark(group=CUBIC)
def bench_cubic_simpleitk(case, images):
    if not os.environ.get("FASTIMG_BENCH_SLOW"):
        pytest.skip("half a minute a round: set FASTIMG_BENCH_SLOW=1")
    simpleitk(case, images["float32"], straight_grid(images["float32"], 1), "sitkBSpline3", rounds=1)


@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 1, 1)], ids=["z", "111"])
@pytest.mark.parametrize("kind", ["int16", "float32"])
@pytest.mark.parametrize("tool", ["fastimg", "SimpleITK"])
def bench_oblique(case, benchmark, one_thread, images, kind, axis, tool):
    benchmark.group = oblique(kind, "z" if axis == (0, 0, 1) else "(1, 1, 1)")
    grid = turned_grid(images[kind], axis)
    if tool == "fastimg":
        ours(case, images[kind], like=grid)
    else:
        simpleitk(case, images[kind], grid, "sitkLinear")


@pytest.mark.benchmark(group=ALIAS)
def bench_antialias(case, one_thread, images):
    ours(case, images["float32"], spacing=2, antialias=True)


@pytest.mark.benchmark(group=ALIAS)
def bench_antialias_scipy(case, images):
    from scipy import ndimage

    image = images["float32"]
    plan = fi.resampling.Plan(image, spacing=2)
    factor = 2 / np.array(image.spacing)
    sigma = np.sqrt((factor**2 - 1) / (8 * np.log(2)))

    def work():
        blurred = ndimage.gaussian_filter(image.array, sigma, mode="nearest")
        return ndimage.affine_transform(blurred, factor, output_shape=plan.shape, order=1, mode="nearest")

    case(work, tool="scipy gaussian_filter + affine_transform", items=np.prod(plan.shape), unit="voxel", rounds=2)
