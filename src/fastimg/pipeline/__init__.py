"""The main job: DICOM in, a harmonised cohort with features out; described by a recipe, resumable, one case at a time."""

from ._recipe import Recipe

__all__ = ["Recipe"]
