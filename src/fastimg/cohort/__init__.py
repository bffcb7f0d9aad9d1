"""Cohorts: chunked Zarr v3 on disk that a crash cannot tear, with an index, patches and a map over executors."""

from ._case import Case
from ._cohort import Cohort
from ._files import free_bytes, write_whole
from ._map import map_cases
from ._migrate import migrate
from ._patches import Patch, draw_patches
from ._verify import Report

__all__ = ["Case", "Cohort", "Patch", "Report", "draw_patches", "free_bytes", "map_cases", "migrate", "write_whole"]
