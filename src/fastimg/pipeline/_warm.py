"""Imported once in the server that workers are forked from, so that each starts with its modules loaded."""

from .. import cohort, dicom, harmonize, radiomics, resampling  # noqa: F401
from . import _case  # noqa: F401
