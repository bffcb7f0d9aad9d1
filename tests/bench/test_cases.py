"""bench/ has a case of every public kernel: a new one without a case is seen."""

from __future__ import annotations

import inspect
import re

import pytest

import fastimg as fi

from ..conftest import ROOT

# Public names that are no kernels: values, containers, and steps around them.
OTHER = {
    "harmonize": "Design Formula Spline Statistics agreement effect_of risen site_effect",
    "filtering": "LAWS WAVELETS gaussian_kernel wavelet_filters",
    "labels": "",
    "radiomics": "AGGREGATIONS FAMILIES Settings add_noise diagnostics grow icc move perturbations randomise_contour robustness",
    "resampling": "",
    "secagg": "Privacy Ranges SparseHistogram",
    "histogram": "Moments",
}


@pytest.mark.parametrize("name", OTHER)
def test_every_kernel_is_a_case(name):
    module = getattr(fi, name)
    text = "\n".join(path.read_text() for path in (ROOT / "bench").glob("bench_*.py"))
    other = set(OTHER[name].split())
    assert other <= set(module.__all__)
    kernels = [public for public in module.__all__ if public not in other]
    assert kernels
    assert [public for public in kernels if not re.search(rf"\.{public}\b", text)] == []
    assert all(callable(getattr(module, public)) or inspect.isclass(getattr(module, public)) for public in kernels)


def test_who_is_absent_is_told():
    calls = [
        call
        for path in (ROOT / "bench").glob("bench_*.py")
        for call in re.findall(r"importorskip\((?:[^()]|\([^()]*\))*\)", path.read_text())
    ]
    assert len(calls) > 20
    assert [call for call in calls if "reason=" not in call] == []
