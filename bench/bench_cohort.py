"""cohort against zarr-python, tensorstore and plain files on the same volumes: patches, full read, write, listing."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress

import numpy as np
import pytest
from bench_machine import ZSTD
from scipy import fft

import fastimg as fi

VOLUMES = 2
SHAPE = (100, 512, 512)
PATCHES = 60
PROFILES = ("default", "hot")


def ct(seed):
    """A chest of soft tissue and lung with ramp-filtered noise of 22 HU, quiet air around it: zstd packs it about 2.5:1."""
    random = np.random.default_rng(seed)
    z, y, x = np.ogrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j, -1 : 1 : SHAPE[2] * 1j]
    body = ((y / 0.75) ** 2 + (x / 0.9) ** 2 + 0 * z) < 1
    lung = ((y / 0.45) ** 2 + ((abs(x) - 0.42) / 0.3) ** 2 + (z / 1.2) ** 2) < 1
    volume = np.where(body, np.where(lung, -850, 40), -1000).astype(np.float32)
    ramp = np.hypot(fft.fftfreq(SHAPE[1])[:, None], fft.rfftfreq(SHAPE[2])[None])
    for k in range(SHAPE[0]):
        noise = fft.irfft2(fft.rfft2(random.normal(0, 1, SHAPE[1:]).astype(np.float32)) * ramp, SHAPE[1:])
        volume[k] += noise / noise.std() * np.where(body[min(k, len(body) - 1)], 22, 3)
    return volume.round().clip(-1024, 3071).astype(np.int16)


@pytest.fixture(scope="module")
def volumes():
    return [ct(seed) for seed in range(VOLUMES)]


@pytest.fixture(scope="module")
def cohorts(volumes, tmp_path_factory):
    """One cohort a profile."""
    made = {}
    for profile in PROFILES:
        c = fi.Cohort.create(tmp_path_factory.mktemp(profile) / "c", profile=profile)
        for k, volume in enumerate(volumes):
            c.add(f"case-{k}", fi.Image(volume, spacing=(1.5, 0.7, 0.7), unit="HU"), source=str(k))
        made[profile] = c
    return made


def starts(size):
    """The same patches for every tool."""
    random = np.random.default_rng(0)
    return [
        (int(random.integers(VOLUMES)), *(int(random.integers(n - size + 1)) for n in SHAPE)) for _ in range(PATCHES)
    ]


def group(work, profile):
    return f"cohort: {work}, {profile}"


def each(work, size):
    """Call work(volume, region) for every patch; returns the last."""
    for k, z, y, x in starts(size):
        last = work(k, (slice(z, z + size), slice(y, y + size), slice(x, x + size)))
    return last


def _patches(case, volumes, size, work, **more):
    wrong = 0.0
    for k, z, y, x in starts(size)[:20]:
        region = (slice(z, z + size), slice(y, y + size), slice(x, x + size))
        wrong = max(wrong, float(np.abs(np.asarray(work(k, region), np.int64) - volumes[k][region]).max()))
    case(
        lambda: each(work, size),
        nbytes=PATCHES * size**3 * 2,
        items=PATCHES,
        unit="patch",
        error=wrong,
        rounds=3,
        **more,
    )


def parametrized(function):
    """A case a profile and patch size, in their own groups."""
    return pytest.mark.parametrize("profile", PROFILES)(pytest.mark.parametrize("size", [64, 96])(function))


@pytest.fixture(autouse=True)
def _group(request, benchmark):
    """The group's name from the parameters."""
    parameters = getattr(request.node, "callspec", None)
    if parameters and "profile" in parameters.params:
        work = request.node.originalname.split("_")[1]
        names = {
            "patches": "random {size}^3 patches",
            "read": "full read of 2 volumes",
            "write": "write of 1 volume, fsync",
        }
        benchmark.group = group(names[work].format(**parameters.params), parameters.params["profile"])


@parametrized
def bench_patches(case, one_thread, cohorts, volumes, profile, size):
    cases = [cohorts[profile][f"case-{k}"] for k in range(VOLUMES)]
    _patches(case, volumes, size, lambda k, region: cases[k].voxels(region))


@parametrized
def bench_patches_zarr_python(case, cohorts, volumes, profile, size):
    import zarr

    arrays = [zarr.open_array(str(cohorts[profile][f"case-{k}"].path / "0"), mode="r") for k in range(VOLUMES)]
    with single_thread_zarr():
        _patches(case, volumes, size, lambda k, region: arrays[k][region], tool="zarr-python")


@parametrized
def bench_patches_tensorstore(case, cohorts, volumes, profile, size):
    arrays = [tensorstore_array(cohorts[profile][f"case-{k}"]) for k in range(VOLUMES)]
    _patches(case, volumes, size, lambda k, region: arrays[k][region].read().result(), tool="tensorstore")


@parametrized
def bench_patches_b2nd(case, volumes, profile, size):
    blosc2 = pytest.importorskip("blosc2", reason="peer blosc2 is not installed")
    arrays = [b2nd_array(blosc2, volume, profile) for volume in volumes]
    _patches(case, volumes, size, lambda k, region: arrays[k][region], tool="b2nd (in memory)")


def b2nd_array(blosc2, volume, profile):
    codec = blosc2.Codec.ZSTD if profile == "default" else blosc2.Codec.LZ4
    settings = {"codec": codec, "clevel": 1, "filters": [blosc2.Filter.BITSHUFFLE], "nthreads": 1}
    return blosc2.asarray(volume, chunks=(50, 64, 64), blocks=(25, 32, 32), cparams=settings, dparams={"nthreads": 1})


def single_thread_zarr():
    import numcodecs.blosc
    import zarr

    numcodecs.blosc.use_threads = False
    return zarr.config.set({"threading.max_workers": 1, "async.concurrency": 4})


def tensorstore_array(case, **options):
    ts = pytest.importorskip("tensorstore", reason="peer tensorstore is not installed")
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(case.path / "0")}}
    context = ts.Context({"data_copy_concurrency": {"limit": 1}, "cache_pool": {"total_bytes_limit": 0}})
    return ts.open(spec, context=context, **options).result()


def _read(case, volumes, work, **more):
    wrong = max(float(np.abs(np.asarray(work(k), np.int64) - volumes[k]).max()) for k in range(2))
    nbytes = sum(v.nbytes for v in volumes)
    case(
        lambda: [work(k) for k in range(VOLUMES)], nbytes=nbytes, items=nbytes, unit="B", error=wrong, rounds=3, **more
    )


@pytest.mark.parametrize("profile", PROFILES)
def bench_read(case, one_thread, cohorts, volumes, profile):
    cases = [cohorts[profile][f"case-{k}"] for k in range(VOLUMES)]
    _read(case, volumes, lambda k: cases[k].image().array, limit=ZSTD)


@pytest.mark.parametrize("profile", PROFILES)
def bench_read_zarr_python(case, cohorts, volumes, profile):
    import zarr

    arrays = [zarr.open_array(str(cohorts[profile][f"case-{k}"].path / "0"), mode="r") for k in range(VOLUMES)]
    with single_thread_zarr():
        _read(case, volumes, lambda k: arrays[k][...], tool="zarr-python")


@pytest.mark.parametrize("profile", PROFILES)
def bench_read_tensorstore(case, cohorts, volumes, profile):
    arrays = [tensorstore_array(cohorts[profile][f"case-{k}"]) for k in range(VOLUMES)]
    _read(case, volumes, lambda k: arrays[k].read().result(), tool="tensorstore")


@pytest.mark.parametrize("profile", PROFILES)
def bench_write(case, one_thread, volumes, profile, tmp_path):
    c = fi.Cohort.create(tmp_path / "c", profile=profile)
    image = fi.Image(volumes[0], spacing=(1.5, 0.7, 0.7))
    number = iter(range(1000))
    error = np.abs(c.add("first", image).image().array.astype(int) - volumes[0]).max()
    case(
        lambda: c.add(f"c{next(number)}", image),
        nbytes=image.array.nbytes,
        items=image.array.nbytes,
        unit="B",
        error=error,
        rounds=3,
    )


@pytest.mark.parametrize("profile", PROFILES)
def bench_write_zarr_python(case, volumes, cohorts, profile, tmp_path):
    """The same array metadata, then fsync of what was written: no manifest, digest or index."""
    import zarr

    number = iter(range(1000))
    source = cohorts[profile]["case-0"].path / "0" / "zarr.json"
    meta = json.loads(source.read_text())

    def work():
        folder = tmp_path / f"z{next(number)}"
        folder.mkdir()
        (folder / "zarr.json").write_text(json.dumps(meta))
        zarr.open_array(str(folder), mode="r+", config={"write_empty_chunks": True})[...] = volumes[0]
        sync(folder)

    with single_thread_zarr():
        case(work, tool="zarr-python", nbytes=volumes[0].nbytes, items=volumes[0].nbytes, unit="B", rounds=3)


@pytest.mark.parametrize("profile", PROFILES)
def bench_write_tensorstore(case, volumes, cohorts, profile, tmp_path):
    pytest.importorskip("tensorstore", reason="peer tensorstore is not installed")
    number = iter(range(1000))
    source = cohorts[profile]["case-0"]

    class Place:
        path = None

    def work():
        Place.path = tmp_path / f"t{next(number)}"
        (Place.path / "0").mkdir(parents=True)
        shutil.copy(source.path / "0" / "zarr.json", Place.path / "0")
        tensorstore_array(Place, open=True).write(volumes[0]).result()

    case(
        work,
        tool="tensorstore (it syncs itself)",
        nbytes=volumes[0].nbytes,
        items=volumes[0].nbytes,
        unit="B",
        rounds=3,
    )


def sync(folder):
    for path in folder.rglob("*"):
        fd = os.open(path, os.O_RDONLY)
        with suppress(OSError):
            os.fsync(fd)
        os.close(fd)
