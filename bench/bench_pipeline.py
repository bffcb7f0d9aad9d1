"""The main job as a whole, in one process: DICOM with masks to a cohort with features; and a run that has nothing to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi
from fastimg.pipeline import Recipe, run
from fastimg.pipeline._pool import InProcess

KEY = b"a key of the benchmarks, 32 bytes"
RECIPE = '[resample]\nspacing = "1 mm"\n[radiomics]\nenabled = {}\nbin_count = 32\n[combat]\nenabled = false\n[run]\nreserve = "1 MB"'


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    return fi.synth.hospitals(tmp_path_factory.mktemp("bench") / "in", patients=2, size=256)


def job(hospitals, target, features):
    shutil.rmtree(target, ignore_errors=True)
    recipe = Recipe.parse(RECIPE.format("true" if features else "false"))
    return run(recipe, hospitals.folder / "vienna", target, key=KEY, executor=InProcess())


@pytest.mark.benchmark(group="pipeline: DICOM to resampled volumes, stored")
def bench_run(hospitals, tmp_path, case, one_thread):
    summary = case(lambda: job(hospitals, tmp_path / "c", False), items=2, unit="case", rounds=3)
    assert summary.states["ok"] == 2


@pytest.mark.benchmark(group="pipeline: DICOM to resampled volumes, stored")
def bench_simpleitk(hospitals, tmp_path, case, one_thread):
    """Reads, resamples and writes NIfTI: no masks, no metadata, no check of anything."""
    sitk = pytest.importorskip("SimpleITK")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    folders = [hospitals.folder / c.folder for c in hospitals.cases if c.hospital == "vienna"]

    def work():
        for number, folder in enumerate(folders):
            names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
            image = sitk.Cast(sitk.ReadImage(names), sitk.sitkFloat32)
            old, n = np.array(image.GetSpacing()), np.array(image.GetSize())
            size = [int(v) for v in np.floor((n - 1) * old + 1e-6) + 1]
            out = sitk.Resample(
                image, size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), (1, 1, 1), image.GetDirection()
            )
            sitk.WriteImage(out, str(tmp_path / f"{number}.nii.gz"))

    case(work, tool="SimpleITK", items=2, unit="case", rounds=3)


@pytest.mark.benchmark(group="pipeline: DICOM with masks to features")
def bench_run_features(hospitals, tmp_path, case, one_thread):
    summary = case(lambda: job(hospitals, tmp_path / "c", True), items=2, unit="case", rounds=3)
    assert summary.feature_rows == 2


@pytest.mark.benchmark(group="pipeline: nothing to do")
def bench_second_run(hospitals, tmp_path, case, one_thread):
    target = Path(tmp_path, "c")
    job(hospitals, target, False)
    recipe = Recipe.parse(RECIPE.format("false"))
    again = lambda: run(recipe, hospitals.folder / "vienna", target, key=KEY, executor=InProcess())  # noqa: E731
    summary = case(again, items=1, unit="run", rounds=3)
    assert summary.done == 0
