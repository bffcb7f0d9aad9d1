"""Cohorts: chunked Zarr v3 on disk that a crash cannot tear, with an index, patches and a map over executors."""

from ._case import Case
from ._cohort import Cohort
from ._executors import open_executor
from ._files import free_bytes, write_whole
from ._map import map_cases
from ._migrate import migrate
from ._patches import Patch, Place, Sampler, draw_patches
from ._progress import Pace, Progress
from ._verify import Report
from ._voxelwise import map_voxels

__all__ = [
    "Case",
    "Cohort",
    "Pace",
    "Patch",
    "Place",
    "Progress",
    "Report",
    "Sampler",
    "draw_patches",
    "free_bytes",
    "map_cases",
    "map_voxels",
    "migrate",
    "open_executor",
    "write_whole",
]
