"""The main job: DICOM in, a harmonised cohort with features out; described by a recipe, resumable, case by case."""

from ._catalogue import Catalogue, catalogue
from ._catalogue_about import About
from ._making import check_key
from ._measure import Measured, measure_features
from ._plan import names_of
from ._preview import Preview, preview
from ._qc import QcReport, qc
from ._qc_settings import QcSettings
from ._quality import quality
from ._recipe import Recipe
from ._run import ingest, run
from ._summary import Summary
from ._work import Event

__all__ = [
    "About",
    "Catalogue",
    "Event",
    "Measured",
    "Preview",
    "QcReport",
    "QcSettings",
    "Recipe",
    "Summary",
    "check_key",
    "catalogue",
    "ingest",
    "measure_features",
    "names_of",
    "preview",
    "qc",
    "quality",
    "run",
]
