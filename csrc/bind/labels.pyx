# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: language = c++
"""fastimg.labels._native: array views in, array views out. Arguments are checked by the callers in Python."""

from libc.stdint cimport int32_t, int64_t

cdef extern from "bind/capi.hpp":
    int fastimg_import_core() except -1

cdef extern from "labels/components.hpp" namespace "fastimg::labels" nogil:
    int64_t _components "fastimg::labels::components"(
        const unsigned char* mask, int32_t* out, int64_t z, int64_t y, int64_t x, int connectivity, int threads) except +

cdef extern from "labels/distance.hpp" namespace "fastimg::labels" nogil:
    void _distance "fastimg::labels::distance"(
        const unsigned char* mask, float* out, int64_t z, int64_t y, int64_t x, const double* spacing, bint taxicab,
        int threads) except +

fastimg_import_core()


def components(const unsigned char[:, :, ::1] mask, int32_t[:, :, ::1] out, int connectivity, int threads):
    """out = numbers of the mask's components; returns how many there are."""
    cdef int64_t z = mask.shape[0], y = mask.shape[1], x = mask.shape[2], found = 0
    if z and y and x:
        with nogil:
            found = _components(&mask[0, 0, 0], &out[0, 0, 0], z, y, x, connectivity, threads)
    return found


def distance(const unsigned char[:, :, ::1] mask, float[:, :, ::1] out, double dz, double dy, double dx, bint taxicab,
             int threads):
    """out = distance of each voxel of the mask to the nearest one outside it."""
    cdef int64_t z = mask.shape[0], y = mask.shape[1], x = mask.shape[2]
    cdef double[3] spacing = [dz, dy, dx]
    if z and y and x:
        with nogil:
            _distance(&mask[0, 0, 0], &out[0, 0, 0], z, y, x, spacing, taxicab, threads)
