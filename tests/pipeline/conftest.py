"""A small synthetic export of three hospitals, and one run over it, shared by all tests here."""

from __future__ import annotations

import pytest
from small_run import KEY, RECIPE

import fastimg as fi
from fastimg.pipeline import Recipe
from fastimg.pipeline._pool import InProcess


@pytest.fixture(scope="session")
def hospitals(tmp_path_factory):
    return fi.synth.hospitals(tmp_path_factory.mktemp("synth") / "export", patients=4, size=48, seed=3)


@pytest.fixture(scope="session")
def recipe():
    return Recipe.parse(RECIPE)


@pytest.fixture(scope="session")
def done(hospitals, recipe, tmp_path_factory):
    """(path of the cohort, summary, events) of an undisturbed run in this process."""
    target = tmp_path_factory.mktemp("done") / "cohort"
    events = []
    summary = fi.pipeline.run(
        recipe,
        hospitals.folder,
        target,
        key=KEY,
        clinical=hospitals.clinical,
        executor=InProcess(),
        on_event=events.append,
    )
    fi.report.write(summary, target / "report.html")
    return target, summary, events
