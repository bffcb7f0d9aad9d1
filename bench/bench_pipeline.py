"""The main job as a whole, in one process: DICOM with masks to a cohort with features; and a run that has nothing to do."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from growth import apart
from lung_case import FEATURES, NATIVE, STUDY, write_lung

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


def resampled_by_simpleitk(folder):
    """A series read and resampled to 1 mm."""
    sitk = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = sitk.Cast(sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))), sitk.sitkFloat32)
    old, n = np.array(image.GetSpacing()), np.array(image.GetSize())
    size = [int(v) for v in np.floor((n - 1) * old + 1e-6) + 1]
    return sitk.Resample(
        image, size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), (1, 1, 1), image.GetDirection()
    )


def folders_of(hospitals):
    return [hospitals.folder / c.folder for c in hospitals.cases if c.hospital == "vienna"]


def stored_apart(hospitals, path):
    """Of each stored volume from SimpleITK's of the same series, as a share of its range; None without SimpleITK."""
    try:
        theirs = [resampled_by_simpleitk(folder) for folder in folders_of(hospitals)]
    except pytest.skip.Exception:
        return None
    ours = [case.image() for case in fi.Cohort.open(path).cases()]
    same = [[apart(one, other) for other in theirs if one.shape == other.GetSize()[::-1]] for one in ours]
    return max(map(min, same))


@pytest.mark.benchmark(group="pipeline: DICOM to resampled volumes, stored")
def bench_run(hospitals, tmp_path, case, one_thread):
    summary = job(hospitals, tmp_path / "c", False)
    error = stored_apart(hospitals, tmp_path / "c")
    assert summary.states["ok"] == 2
    case(lambda: job(hospitals, tmp_path / "c", False), items=2, unit="case", error=error, rounds=3)


@pytest.mark.benchmark(group="pipeline: DICOM to resampled volumes, stored")
def bench_simpleitk(hospitals, tmp_path, case, one_thread):
    """Reads, resamples and writes NIfTI: no masks, no metadata, no check of anything."""
    sitk = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")

    def work():
        for number, folder in enumerate(folders_of(hospitals)):
            sitk.WriteImage(resampled_by_simpleitk(folder), str(tmp_path / f"{number}.nii.gz"))

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


LUNG = "pipeline: a lung CT case of 100 slices, DICOM to 1,130 features"
LUNG_NATIVE = f"{LUNG}, filters over the whole image"


@pytest.fixture(scope="module")
def lung(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lung")
    write_lung(folder / "in")
    (folder / "study.yaml").write_text(STUDY)
    (folder / "native.yaml").write_text(NATIVE)
    return folder


@pytest.mark.parametrize("study", [pytest.param("study", id="1mm"), pytest.param("native", id="native")])
def bench_lung(benchmark, lung, tmp_path, case, one_thread, study):
    """Scan, de-identify, decode, store with mask and checksums, measure; the time of the processor is in core_seconds."""
    benchmark.group = LUNG if study == "study" else LUNG_NATIVE
    text = f'[resample]\nspacing = "keep"\n[radiomics]\nsettings = "{study}.yaml"\n[combat]\nenabled = false\n[run]\nreserve = "1 MB"'
    recipe, spent = Recipe.parse(text, folder=lung), []

    def work():
        shutil.rmtree(tmp_path / "c", ignore_errors=True)
        began = time.process_time()
        summary = run(recipe, lung / "in", tmp_path / "c", key=KEY, executor=InProcess())
        spent.append(time.process_time() - began)
        return summary

    summary = case(work, items=1, unit="case", rounds=3)
    benchmark.extra_info["core_seconds"] = min(spent)
    assert summary.states["ok"] == 1
    assert [len(values) for values in next(fi.Cohort.open(tmp_path / "c").cases()).features.values()] == [FEATURES]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("study", [pytest.param("study", id="1mm"), pytest.param("native", id="native")])
def bench_lung_pyradiomics(benchmark, lung, tmp_path, case, study):
    """SimpleITK reads the series, PyRadiomics measures it with our mask; nothing is stored."""
    pytest.importorskip("radiomics", reason="peer PyRadiomics is not installed")
    sitk = pytest.importorskip("SimpleITK", reason="peer SimpleITK is not installed")
    import logging

    import radiomics
    from radiomics import featureextractor

    benchmark.group = LUNG if study == "study" else LUNG_NATIVE

    radiomics.logger.setLevel(logging.CRITICAL)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    scan = fi.dicom.scan(lung / "in")
    image = next(one for one in fi.dicom.series(scan) if one.kind == "image")
    drawn = next(one for one in fi.dicom.series(scan) if one.kind == "mask")
    mask = fi.dicom.read_masks(drawn, like=fi.dicom.read(image))["GTV"].to_sitk()
    extractor, spent = featureextractor.RadiomicsFeatureExtractor(str(lung / f"{study}.yaml"), additionalInfo=False), []

    def work():
        began = time.process_time()
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(lung / "in" / "CT"))
        found = extractor.execute(sitk.ReadImage(names), mask)
        spent.append(time.process_time() - began)
        return found

    benchmark.extra_info.update(tool="PyRadiomics 3", nbytes=0, items=1.0, unit="case", error=None)
    found = benchmark.pedantic(work, rounds=1, warmup_rounds=0, iterations=1)
    benchmark.extra_info["core_seconds"] = min(spent)
    assert len([name for name in found if not name.startswith("diagnostics")]) == FEATURES
