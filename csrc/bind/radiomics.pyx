# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: language = c++
"""fastimg.radiomics._native: array views in, arrays out. Arguments are checked by the callers in Python.

Levels arrive in a box with a border of `pad` zeros on every side (csrc/radiomics/volume.hpp)."""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t
from libcpp.vector cimport vector

cdef extern from "bind/capi.hpp":
    int fastimg_import_core() except -1

cdef extern from "radiomics/volume.hpp" namespace "fastimg::radiomics" nogil:
    cdef cppclass Offset:
        pass

    cdef cppclass Volume[T]:
        const T* data
        int64_t nz, ny, nx, pad

cdef extern from "radiomics/glcm.hpp" namespace "fastimg::radiomics" nogil:
    void _glcm "fastimg::radiomics::glcm"[T](
        const Volume[T]&, const Offset*, int64_t, int64_t, int64_t, int64_t, int64_t*, int) except +
    void _glcm_features "fastimg::radiomics::glcm_features"(const double*, int64_t, double, double*) except +

cdef extern from "radiomics/shape.hpp" namespace "fastimg::radiomics" nogil:
    cdef cppclass Mask:
        const uint8_t* data
        int64_t nz, ny, nx

    void _shape_sums "fastimg::radiomics::shape_sums"(const Mask&, int64_t*, int64_t*, int) except +
    void _mesh_measures "fastimg::radiomics::mesh_measures"(const int64_t*, const double*, double*, double*)
    vector[int32_t] _plane_hulls "fastimg::radiomics::plane_hulls"(const Mask&, int) except +
    void _diameters "fastimg::radiomics::diameters"(
        const int32_t*, int64_t, const double*, double*, double*) except +

cdef extern from "radiomics/statistics.hpp" namespace "fastimg::radiomics" nogil:
    cdef cppclass Counted:
        double value
        int64_t count

    vector[Counted] _counted "fastimg::radiomics::counted"(const double*, int64_t) except +
    void _statistics "fastimg::radiomics::statistics"(const vector[Counted]&, double*) except +

fastimg_import_core()

ctypedef fused level:
    uint8_t
    uint16_t


cdef Volume[level] _volume(const level[:, :, ::1] levels, int64_t pad) noexcept:
    cdef Volume[level] volume
    volume.data = &levels[0, 0, 0]
    volume.nz, volume.ny, volume.nx = levels.shape[0] - 2 * pad, levels.shape[1] - 2 * pad, levels.shape[2] - 2 * pad
    volume.pad = pad
    return volume


def glcm(const level[:, :, ::1] levels, int64_t pad, const int32_t[:, ::1] offsets, int64_t begin, int64_t end,
         int64_t[:, :, ::1] counts, int threads):
    """counts (offsets, levels, levels) += pairs of slices [begin, end)."""
    cdef Volume[level] volume = _volume[level](levels, pad)
    cdef const Offset* places = <const Offset*>&offsets[0, 0]
    with nogil:
        _glcm(volume, places, offsets.shape[0], begin, end, counts.shape[1], &counts[0, 0, 0], threads)


def glcm_features(const double[:, :, ::1] matrices, double epsilon):
    """(matrices, 25) features."""
    cdef double[:, ::1] out = np.empty((matrices.shape[0], 25))
    cdef Py_ssize_t k
    with nogil:
        for k in range(matrices.shape[0]):
            _glcm_features(&matrices[k, 0, 0], matrices.shape[1], epsilon, &out[k, 0])
    return np.asarray(out)


cdef Mask _mask(const uint8_t[:, :, ::1] mask) noexcept:
    cdef Mask result
    result.data = &mask[0, 0, 0]
    result.nz, result.ny, result.nx = mask.shape[0], mask.shape[1], mask.shape[2]
    return result


def shape_sums(const uint8_t[:, :, ::1] mask, int threads):
    """(10 moments, (256, 4) sums of marching-cubes cases) of a mask with a border of zeros."""
    cdef int64_t[::1] moments = np.zeros(10, np.int64)
    cdef int64_t[:, ::1] cubes = np.zeros((256, 4), np.int64)
    cdef Mask view = _mask(mask)
    with nogil:
        _shape_sums(view, &moments[0], &cubes[0, 0], threads)
    return np.asarray(moments), np.asarray(cubes)


def mesh_measures(const int64_t[:, ::1] cubes, const double[::1] spacing):
    """(volume, area) in mm3 and mm2."""
    cdef double volume, area
    _mesh_measures(&cubes[0, 0], &spacing[0], &volume, &area)
    return volume, area


def plane_hulls(const uint8_t[:, :, ::1] mask, int threads):
    """(n, 3) int32: corners of each plane's hull in half voxels."""
    cdef vector[int32_t] points
    cdef Mask view = _mask(mask)
    with nogil:
        points = _plane_hulls(view, threads)
    cdef Py_ssize_t count = points.size() // 3
    cdef int32_t[:, ::1] out = np.empty((count, 3), np.int32)
    cdef Py_ssize_t i
    for i in range(3 * count):
        (&out[0, 0])[i] = points[i]
    return np.asarray(out)


def diameters(const int32_t[:, ::1] points, const double[::1] spacing):
    """(largest distance, largest within a plane) in mm."""
    cdef double largest, in_plane
    with nogil:
        _diameters(&points[0, 0], points.shape[0], &spacing[0], &largest, &in_plane)
    return largest, in_plane


def statistics(const double[::1] values):
    """18 features of the values themselves, and their (value, count) histogram."""
    cdef vector[Counted] histogram
    cdef double[::1] out = np.empty(18)
    with nogil:
        histogram = _counted(&values[0], values.shape[0])
        _statistics(histogram, &out[0])
    cdef double[::1] distinct = np.empty(histogram.size())
    cdef int64_t[::1] counts = np.empty(histogram.size(), np.int64)
    cdef Py_ssize_t i
    for i in range(<Py_ssize_t>histogram.size()):
        distinct[i] = histogram[i].value
        counts[i] = histogram[i].count
    return np.asarray(out), np.asarray(distinct), np.asarray(counts)
