"""The main job: DICOM in, a harmonised cohort with features out; described by a recipe, resumable, case by case."""

from ._plan import names_of
from ._preview import Preview, preview
from ._quality import quality
from ._recipe import Recipe
from ._run import Event, ingest, run
from ._summary import Summary

__all__ = ["Event", "Preview", "Recipe", "Summary", "ingest", "names_of", "preview", "quality", "run"]
