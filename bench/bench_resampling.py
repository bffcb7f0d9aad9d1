"""resampling against SimpleITK, SciPy and NumPy: 512 x 512 x 300 voxels of 0.7, 0.7, 1.5 mm to 1 mm, one thread.

SimpleITK's images are made beforehand; every case makes its result anew, as the peers do. FASTIMG_BENCH_SLOW=1 runs
SimpleITK's B-spline (half a minute a round) too.
"""

from __future__ import annotations

import os
from functools import partial

import numpy as np
import pytest
from growth import apart
from resampling_points import blurred_and_sampled, crop, pointwise, turned_grid
from two_threads import on_threads

import fastimg as fi

LINEAR = "resampling: linear int16 to 1 mm, 57.5 M voxels"
LINEAR_FLOAT = "resampling: linear float32 to 1 mm"
NEAREST = "resampling: nearest uint8 to 1 mm"
CUBIC = "resampling: cubic B-spline float32 to 1 mm"
LABELS = "resampling: label votes uint8 to 1 mm"
WARP = "resampling: linear int16 through a dense displacement field, to 1 mm"
FUSED = "resampling: int16 to normalised float32 at 1 mm (rescale, clip, resample, scale)"
ALIAS = "resampling: antialiased linear float32 to 2 mm"


def oblique(kind, about):
    return f"resampling: linear {kind}, turned by 10 degrees about {about}, to 1 mm"


def plan_of(image, options):
    options = dict(options)
    axis = options.pop("turned", None)
    spacing = options.pop("spacing", 1)
    grid = {"spacing": spacing} if axis is None else {"like": turned_grid(image, axis)}
    return fi.resampling.Plan(image, **grid, **options)


@pytest.fixture(scope="module")
def images(ct_volume):
    return {
        "int16": ct_volume,
        "float32": ct_volume.with_array(ct_volume.array.astype(np.float32)),
        "int32": ct_volume.with_array(ct_volume.array.astype(np.int32)),
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


def ours(case, image, rounds=4, nbytes=None, error=None, **options):
    plan = fi.resampling.Plan(image, **options)
    voxels = int(np.prod(plan.shape))
    moved = nbytes or image.array.nbytes + voxels * image.dtype.itemsize
    error = pointwise(image, **options) if error is None else error
    case(lambda: plan(image), nbytes=moved, items=voxels, unit="voxel", error=error, rounds=rounds)


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
@pytest.mark.parametrize("kind", ["int16", "float32", "int32"])
@pytest.mark.parametrize("tool", ["fastimg", "SimpleITK"])
def bench_oblique(case, benchmark, one_thread, images, kind, axis, tool):
    benchmark.group = oblique(kind, "z" if axis == (0, 0, 1) else "(1, 1, 1)")
    grid = turned_grid(images[kind], axis)
    if tool == "fastimg":
        ours(case, images[kind], like=grid)
    else:
        simpleitk(case, images[kind], grid, "sitkLinear")


@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 1, 1)], ids=["z", "111"])
@pytest.mark.parametrize("tool", ["fastimg", "SimpleITK"])
def bench_oblique_nearest(case, benchmark, one_thread, images, axis, tool):
    about = "z" if axis == (0, 0, 1) else "(1, 1, 1)"
    benchmark.group = f"resampling: nearest uint8, turned by 10 degrees about {about}, to 1 mm"
    grid = turned_grid(images["uint8"], axis)
    if tool == "fastimg":
        ours(case, images["uint8"], like=grid, order="nearest")
    else:
        simpleitk(case, images["uint8"], grid, "sitkNearestNeighbor")


@pytest.mark.benchmark(group="resampling: label votes uint8, turned by 10 degrees about (1, 1, 1), to 1 mm")
def bench_oblique_labels(case, one_thread, images):
    ours(case, images["uint8"], like=turned_grid(images["uint8"], (1, 1, 1)), order="label")


@pytest.mark.benchmark(group=ALIAS)
def bench_antialias(case, one_thread, images):
    part = crop(images["float32"])
    error = apart(fi.resample(part, spacing=2, antialias=True), blurred_and_sampled(part, np.float64))
    ours(case, images["float32"], error=error, spacing=2, antialias=True)


@pytest.mark.benchmark(group=ALIAS)
def bench_antialias_scipy(case, images):
    image = images["float32"]
    voxels = np.prod(fi.resampling.Plan(image, spacing=2).shape)
    work = lambda: blurred_and_sampled(image)  # noqa: E731
    case(work, tool="scipy gaussian_filter + affine_transform", items=voxels, unit="voxel", rounds=2)


@pytest.mark.benchmark(group=LABELS)
def bench_labels(case, one_thread, images):
    ours(case, images["uint8"], spacing=1, order="label")


@pytest.mark.benchmark(group=LABELS)
def bench_labels_simpleitk(case, images):
    simpleitk(case, images["uint8"], straight_grid(images["uint8"], 1), "sitkLabelGaussian", rounds=1)


@pytest.mark.benchmark(group=FUSED)
def bench_fused(case, one_thread, images):
    steps = {"rescale": (1, -24), "clip": (-160, 240), "normalise": (-160, 1 / 400), "dtype": "float32"}
    part = crop(images["int16"])
    wide = part.with_array(np.clip(part.array.astype(np.float64) - 24, -160, 240))
    exact = (fi.resample(wide, spacing=1).array + 160) / 400
    error = apart(fi.resampling.Plan(part, spacing=1, **steps)(part), exact)
    ours(case, images["int16"], nbytes=images["int16"].array.nbytes + 4 * 57_500_000, error=error, spacing=1, **steps)


@pytest.mark.benchmark(group=FUSED)
def bench_fused_steps(case, one_thread, images):
    image = images["int16"]
    plan = fi.resampling.Plan(image, spacing=1)

    def work():
        values = image.array.astype(np.float32)
        values -= np.float32(24)
        np.clip(values, -160, 240, out=values)
        made = plan(image.with_array(values)).array
        made += np.float32(160)
        made *= np.float32(1 / 400)
        return made

    case(work, tool="numpy and fastimg, step by step", items=np.prod(plan.shape), unit="voxel", rounds=3)


@pytest.fixture(scope="module")
def warp(images):
    grid = straight_grid(images["int16"], 1)
    z, y, x = np.ogrid[-3 : 3 : grid.shape[0] * 1j, -3 : 3 : grid.shape[1] * 1j, -3 : 3 : grid.shape[2] * 1j]
    field = np.empty((*grid.shape, 3), np.float32)
    for axis in range(3):
        field[..., axis] = 6 * np.sin(z + axis) * np.cos(y) * np.sin(x)
    return grid, field


@pytest.mark.benchmark(group=WARP)
def bench_displacement(case, one_thread, images, warp):
    image, (grid, field) = images["int16"], warp
    plan = fi.resampling.Plan(image, like=grid)
    moved = image.array.nbytes + field.nbytes + field.nbytes // 6
    error = pointwise(image, lambda shape: np.ascontiguousarray(field[: shape[0], : shape[1], : shape[2]]))
    work = lambda: plan(image, displacement=field)  # noqa: E731
    case(work, nbytes=moved, items=field.size // 3, unit="voxel", error=error, rounds=3)


@pytest.mark.benchmark(group=WARP)
def bench_displacement_simpleitk(case, images, warp):
    sitk = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    grid, field = warp
    vectors = sitk.GetImageFromArray(field.astype(np.float64), isVector=True)
    vectors.SetSpacing(grid.spacing[::-1])
    vectors.SetOrigin(grid.origin)
    transform, source = sitk.DisplacementFieldTransform(vectors), images["int16"].to_sitk()
    size, spacing = grid.shape[::-1], grid.spacing[::-1]
    direction = grid.direction.ravel().tolist()
    case(
        lambda: sitk.Resample(source, size, transform, sitk.sitkLinear, grid.origin, spacing, direction, 0.0),
        tool="SimpleITK",
        items=np.prod(size),
        unit="voxel",
        rounds=1,
    )


STEPS = {"rescale": (1, -24), "clip": (-160, 240), "normalise": (-160, 1 / 400), "dtype": "float32"}
THREADS = {
    "linear int16": ("int16", {}),
    "linear float32": ("float32", {}),
    "nearest uint8": ("uint8", {"order": "nearest"}),
    "label uint8": ("uint8", {"order": "label"}),
    "cubic float32": ("float32", {"order": "cubic"}),
    "linear int16, turned about z": ("int16", {"turned": (0, 0, 1)}),
    "linear int16, turned about (1, 1, 1)": ("int16", {"turned": (1, 1, 1)}),
    "linear float32, turned about (1, 1, 1)": ("float32", {"turned": (1, 1, 1)}),
    "antialiased linear float32, to 2 mm": ("float32", {"spacing": 2, "antialias": True}),
    "int16 to normalised float32": ("int16", STEPS),
}


@pytest.mark.parametrize("name", THREADS)
def bench_threads(benchmark, case, images, name):
    kind, options = THREADS[name]
    plan = plan_of(images[kind], options)
    voxels = int(np.prod(plan.shape))
    least = images[kind].array.nbytes + voxels * np.dtype(options.get("dtype", kind)).itemsize
    work = partial(plan, images[kind], out=np.empty(plan.shape, options.get("dtype", kind)))  # else pages are cleared
    on_threads(benchmark, case, f"resampling, threads: {name}", work, least, voxels)


def bench_threads_displacement(benchmark, case, images, warp):
    image, (grid, field) = images["int16"], warp
    out = np.empty(grid.shape, np.int16)
    work = partial(fi.resampling.Plan(image, like=grid), image, displacement=field, out=out)
    least, group = (
        image.array.nbytes + field.nbytes + field.nbytes // 6,
        "resampling, threads: displacement field, int16",
    )
    on_threads(benchmark, case, group, work, least, field.size // 3)


# On a GPU: inputs and outputs lie there; `out=` as in a user's loop over a series. Peers: cupyx.scipy.ndimage, which has
# no grid of its own, so it is handed the same matrix.

GPU = {
    "nearest uint8": ("uint8", {"order": "nearest"}),
    "linear int16": ("int16", {}),
    "linear float32": ("float32", {}),
    "cubic float32": ("float32", {"order": "cubic"}),
    "label uint8": ("uint8", {"order": "label"}),
    "linear int16, turned about (1, 1, 1)": ("int16", {"turned": (1, 1, 1)}),
    "linear float32, turned about (1, 1, 1)": ("float32", {"turned": (1, 1, 1)}),
}


def gpu_image(gpu, kind):
    """The CT case's shape, made on the device."""
    shape = (gpu.size(300, 12), gpu.size(512, 40), gpu.size(512, 48))
    rng = np.random.default_rng(0)
    plane = rng.integers(-1000, 1500, shape[1:]).astype(np.int16)
    values = plane[np.newaxis] + np.arange(shape[0], dtype=np.int16)[:, None, None]
    values = (values > 0).astype(np.uint8) if kind == "uint8" else values.astype(kind)
    return fi.Image(gpu(values), spacing=(1.5, 0.7, 0.7))


@pytest.mark.gpu
@pytest.mark.parametrize("name", list(GPU))
def bench_gpu(gpu_case, benchmark, gpu, name):
    benchmark.group = f"resampling: GPU {name} to 1 mm"
    kind, options = GPU[name]
    image = gpu_image(gpu, kind)
    plan = plan_of(image, options)
    out = plan(image).array
    voxels, moved = int(np.prod(plan.shape)), image.array.nbytes + out.nbytes
    expected = lambda: plan(image.to_device("cpu")).array  # noqa: E731
    gpu_case(lambda: plan(image, out=out), nbytes=moved, items=voxels, unit="voxel", expected=expected)


@pytest.mark.gpu
@pytest.mark.parametrize("name", [name for name in GPU if "label" not in name])
def bench_gpu_cupyx(gpu_case, benchmark, gpu, name):
    benchmark.group = f"resampling: GPU {name} to 1 mm"
    if gpu.xp.__name__ != "cupy":
        pytest.skip("cupyx needs a real device")
    ndimage = pytest.importorskip("cupyx.scipy.ndimage", reason="peer cupyx is not installed")
    kind, options = GPU[name]
    image = gpu_image(gpu, kind)
    plan = plan_of(image, options)
    matrix = gpu.xp.asarray(plan._mapping.matrix)
    out = gpu.xp.empty(plan.shape, image.dtype)
    order = {"nearest": 0, "cubic": 3}.get(options.get("order"), 1)

    def work():
        source = image.array
        if order == 3:
            source = ndimage.spline_filter(source, 3, output=np.float32, mode="mirror")
        ndimage.affine_transform(
            source, matrix, output_shape=plan.shape, output=out, order=order, mode="constant", prefilter=False
        )

    gpu_case(work, tool="cupyx.scipy.ndimage", items=int(np.prod(plan.shape)), unit="voxel", batches=5)


GPU_DOUBLED = "resampling: GPU linear float32 to half the spacing, half-pixel grid"


def doubled(gpu):
    shape = (gpu.size(150, 6), gpu.size(256, 20), gpu.size(256, 24))
    return fi.Image(gpu(np.random.default_rng(0).normal(0, 300, shape).astype(np.float32)))


def doubled_by_torch(image):
    torch = pytest.importorskip("torch", reason="peer torch is not installed")
    tensor = torch.from_dlpack(image.array)[None, None]
    return lambda: torch.nn.functional.interpolate(tensor, scale_factor=2, mode="trilinear", align_corners=False)


@pytest.mark.gpu
@pytest.mark.benchmark(group=GPU_DOUBLED)
def bench_gpu_doubled(gpu_case, gpu):
    image = doubled(gpu)
    shape = tuple(2 * size for size in image.shape)
    work = lambda: fi.resample(image, shape=shape, half_pixel=True, cval="edge")  # noqa: E731
    try:
        apart = work().to_device("cpu").array - doubled_by_torch(image)().cpu().numpy()[0, 0]
        error = np.abs(apart).max() / 300
    except pytest.skip.Exception:
        error = None
    gpu_case(work, nbytes=9 * image.array.nbytes, items=8 * image.array.size, unit="voxel", error=error)


@pytest.mark.gpu
@pytest.mark.benchmark(group=GPU_DOUBLED)
def bench_gpu_doubled_torch(gpu_case, gpu):
    image = doubled(gpu)
    gpu_case(doubled_by_torch(image), tool="torch", items=8 * image.array.size, unit="voxel")
