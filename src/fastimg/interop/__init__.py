"""Interchange with SimpleITK, nibabel, xarray, torch and MONAI: thin, each package optional.

`fastimg.interop.monai` has MONAI transforms over fastimg's kernels; importing it imports MONAI.
"""

from .dlpack import from_dlpack, from_torch, to_monai, to_torch
from .nifti import from_nifti, read_nifti, to_nifti, write_nifti
from .patches import PatchDataset
from .simpleitk import from_sitk, to_sitk
from .sr import read_features_sr, write_features_sr
from .xarray import from_xarray, to_xarray

__all__ = [
    "PatchDataset",
    "from_dlpack",
    "from_nifti",
    "from_sitk",
    "from_torch",
    "from_xarray",
    "read_features_sr",
    "read_nifti",
    "to_monai",
    "to_nifti",
    "to_sitk",
    "to_torch",
    "to_xarray",
    "write_features_sr",
    "write_nifti",
]
