"""Interchange with SimpleITK, nibabel, torch and MONAI: thin, each package optional."""

from .dlpack import from_dlpack, from_torch, to_monai, to_torch
from .nifti import from_nifti, read_nifti, to_nifti, write_nifti
from .patches import PatchDataset
from .simpleitk import from_sitk, to_sitk
from .sr import read_features_sr, write_features_sr

__all__ = [
    "PatchDataset",
    "from_dlpack",
    "from_nifti",
    "from_sitk",
    "from_torch",
    "read_features_sr",
    "read_nifti",
    "to_monai",
    "to_nifti",
    "to_sitk",
    "to_torch",
    "write_features_sr",
    "write_nifti",
]
