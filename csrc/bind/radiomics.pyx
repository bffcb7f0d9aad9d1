# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: language = c++
"""fastimg.radiomics._native: array views in, arrays out. Arguments are checked by the callers in Python.

One subject an included file."""

import numpy as np

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libcpp.vector cimport vector

cdef extern from "bind/capi.hpp":
    int fastimg_import_core() except -1

fastimg_import_core()

ctypedef fused level:
    uint8_t
    uint16_t

include "radiomics_texture.pxi"
include "radiomics_shape.pxi"
include "radiomics_region.pxi"
include "radiomics_maps.pxi"
