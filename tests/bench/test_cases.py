"""bench/ has a case of every public kernel, which grows and tells its error: a new one without is seen."""

from __future__ import annotations

import ast
import inspect
import re
import sys

import numpy as np
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
def test_every_kernel_is_a_case_that_grows(name):
    module = getattr(fi, name)
    text = "\n".join(path.read_text() for path in (ROOT / "bench").glob("growth*.py"))
    other = set(OTHER[name].split())
    assert other <= set(module.__all__)
    kernels = [public for public in module.__all__ if public not in other]
    assert kernels
    assert [public for public in kernels if not re.search(rf"\.{public}\b", text)] == []
    assert all(callable(getattr(module, public)) or inspect.isclass(getattr(module, public)) for public in kernels)


def test_who_is_absent_is_told():
    calls = [
        call
        for path in (ROOT / "bench").glob("*.py")
        for call in re.findall(r"importorskip\((?:[^()]|\([^()]*\))*\)", path.read_text())
    ]
    assert len(calls) > 20
    assert [call for call in calls if "reason=" not in call] == []


@pytest.fixture(scope="module")
def growth():
    """The module of the growth curves."""
    sys.path.insert(0, str(ROOT / "bench"))
    import bench_growth

    yield bench_growth
    sys.path.remove(str(ROOT / "bench"))


def test_curves_have_three_sizes_on_one_thread_and_on_all(growth):
    assert len(set(growth.EDGES)) >= 3
    assert {"one thread": 1, "all threads": fi.config.threads()} == growth.THREADS
    for name, kernel in growth.KERNELS.items():
        sizes = {(case.values[1], case.values[2]) for case in growth.CASES if case.values[0] == name}
        assert len(sizes) == 6, name
        assert (kernel.peer is None) == (kernel.name == ""), name


def test_the_limits_of_the_machine_are_measured(growth):
    """Copying, reading, arithmetic and two codecs: each case runs here once and checks what it made."""
    import bench_machine

    told = {}
    for name, function in vars(bench_machine).items():
        if name.startswith("bench_") and name != "bench_gpu_copy":
            function(lambda work, **words: (work(), told.update({name: words})))  # noqa: B023 - called at once
    assert set(told) == {
        f"bench_{limit}" for limit in ("copy", "copy_by_two_threads", "read", "arithmetic", "zstd", "jpeg2000")
    }
    assert all(words["items"] > 0 for words in told.values())


# Errors that are more than rounding, as a share of the range, with what they come from.
COARSE = {
    "histogram matched": 1e-3,  # floats in 1/32768 of their range
    "CLAHE": 1e-3,  # 16383 grey levels, of integers on one side
    "white stripe, T1": 1e-2,  # the stripe ends at values that occur
    "kernel density scale": 1e-3,  # a step of its grid
}


def test_every_growing_kernel_tells_its_error(growth):
    lacking, absent = {}, []
    for name, kernel in growth.KERNELS.items():
        try:
            error = growth.error_of(kernel)
        except pytest.skip.Exception as why:
            absent.append(str(why))
            continue
        if not 0 <= error <= COARSE.get(name, 2e-6):
            lacking[name] = error
    assert lacking == {}
    assert len(absent) <= 6, absent  # PyRadiomics, pycombat, scikit-image, PyWavelets, statsmodels, SimpleITK


def test_a_wrong_result_is_an_error(growth):
    kernel = growth.KERNELS["Gaussian, sigma 2"]
    wrong = kernel._replace(make=lambda v: lambda: fi.filtering.gaussian(v, sigma=2.02))
    assert growth.error_of(wrong) > 1e-3
    wrong = growth.KERNELS["secure aggregation, 4 masks"]._replace(make=lambda v: lambda: np.zeros(v.size, np.uint32))
    assert growth.error_of(wrong) > 0.1


# Cases without a number that could be wrong, or whose number another case of the same work tells.
WITHOUT = {
    "bench_import_fastimg": "no result",
    "bench_two_workers": "how two workers share work; bench_run tells the error",
    "bench_second_run": "nothing is done",
    "bench_run_features": "radiomics' own cases tell it",
    "bench_lung": "radiomics' own cases tell it",
    "bench_cases": "radiomics' own cases tell it",
    "bench_ibsi": "held to IBSI's tables, which have no such image",
    "bench_client": "what is sent is masked; bench_round opens the sum",
    "bench_question": "how much of a question's time is the engine's",
}


def is_ours(function: ast.FunctionDef, call: ast.Call) -> bool:
    """No tool is named, or one that begins with our name, if need be in a variable."""
    (tool,) = [word.value for word in call.keywords if word.arg == "tool"] or [ast.Constant("fastimg")]
    if isinstance(tool, ast.Name):
        made = (
            node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and tool.id in ast.unparse(node.targets[0])
        )
        return any("fastimg" in ast.unparse(value) for value in made)
    return isinstance(tool, ast.Constant | ast.IfExp) and "fastimg" in ast.unparse(tool).split(" if ")[0][:9]


def without_error(text: str) -> tuple[set[str], int]:
    """(cases of ours that pass no error, how many were looked at)."""
    found, seen = set(), 0
    for function in ast.walk(ast.parse(text)):
        for call in ast.walk(function) if isinstance(function, ast.FunctionDef) else ():
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Name)
                and call.func.id in ("case", "gpu_case")
                and is_ours(function, call)
            ):
                seen += 1
                words = {word.arg for word in call.keywords}
                found |= set() if words & {"error", "expected", None} else {function.name}
    return found, seen


def test_every_case_of_ours_passes_its_error():
    found, seen = set(), 0
    for path in (ROOT / "bench").glob("bench_*.py"):
        names, count = without_error(path.read_text())
        found, seen = found | names, seen + count
    assert seen >= 80
    assert found == set(WITHOUT)


def test_a_case_without_an_error_is_seen():
    text = "def {}(case, tool):\n    tool = {}\n    case(work, tool=tool{})\n"
    assert without_error(text.format("a", "'fastimg'", "")) == ({"a"}, 1)
    assert without_error(text.format("b", "'fastimg, alone'", ", error=0")) == (set(), 1)
    assert without_error(text.format("c", "'scipy'", "")) == (set(), 0)
    assert without_error("def d(case):\n    case(work, items=3)\n") == ({"d"}, 1)
