# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: language = c++
"""fastimg.harmonize._native: array views in, array views out. Arguments are checked by the callers in Python."""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t

cdef extern from "bind/capi.hpp":
    int fastimg_import_core() except -1

cdef extern from "harmonize/window.hpp" namespace "fastimg::harmonize" nogil:
    void _window "fastimg::harmonize::window"[T](
        const T* values, float* out, int64_t count, float low, float high, float scale, int threads) except +

fastimg_import_core()

ctypedef fused voxel:
    int8_t
    uint8_t
    int16_t
    uint16_t
    int32_t
    float
    double


def window(const voxel[::1] values, float[::1] out, float low, float high, float scale, int threads):
    """out = window(values): see kernels/fastimg/window.cuh."""
    cdef int64_t count = values.shape[0]
    if count:
        with nogil:
            _window(&values[0], &out[0], count, low, high, scale, threads)
