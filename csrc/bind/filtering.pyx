# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: language = c++
"""fastimg.filtering._native: array views in, array views out. Arguments are checked by the callers in Python."""

from libc.stdint cimport int64_t

cdef extern from "bind/capi.hpp":
    int fastimg_import_core() except -1

cdef extern from "filtering/fir.hpp" namespace "fastimg::filtering" nogil:
    void _filter "fastimg::filtering::filter"[C](
        const void* values, int kind, C* out, const int64_t* sizes, const int64_t* taps, const C* wz, const C* wy,
        const C* wx, const int64_t* sz, const int64_t* sy, const int64_t* sx, int threads) except +

cdef extern from "filtering/recursive.hpp" namespace "fastimg::filtering" nogil:
    struct _Recursive "fastimg::filtering::Recursive":
        double n[4]
        double m[4]
        double d[4]
        double bn[4]
        double bm[4]
    void _recursive "fastimg::filtering::recursive"[T](
        const T* values, float* out, const _Recursive& taps, int64_t outer, int64_t length, int64_t inner,
        int64_t first, int64_t kept, int threads) except +

cdef extern from "filtering/stationary.hpp" namespace "fastimg::filtering" nogil:
    cdef cppclass _Bank "fastimg::filtering::Bank"[C]:
        int count
        int taps
        int64_t shift
        const C* weights
    void _stationary "fastimg::filtering::stationary"[C](
        const C* values, C* out, const int64_t* sizes, const _Bank[C]& bx, const _Bank[C]& by, const _Bank[C]& bz,
        int threads) except +

fastimg_import_core()

ctypedef fused real:
    float
    double


def fir(const unsigned char[::1] values, int kind, real[::1] out, const real[::1] wz, const int64_t[::1] sz,
        const real[::1] wy, const int64_t[::1] sy, const real[::1] wx, const int64_t[::1] sx, int threads):
    """out = values (bytes of a volume of one of ten kinds) filtered along z, y, x."""
    cdef int64_t taps[3]
    cdef int64_t sizes[3]
    taps[0], taps[1], taps[2] = wz.shape[0], wy.shape[0], wx.shape[0]
    sizes[0], sizes[1], sizes[2] = sz.shape[0] - taps[0] + 1, sy.shape[0] - taps[1] + 1, sx.shape[0] - taps[2] + 1
    with nogil:
        _filter(&values[0], kind, &out[0], sizes, taps, &wz[0], &wy[0], &wx[0], &sz[0], &sy[0], &sx[0], threads)


def recursive(const real[:, :, ::1] values, float[:, :, ::1] out, const double[:, ::1] taps, int64_t first, int threads):
    """out (outer, kept, inner) = values (outer, length, inner) filtered along the middle, from `first` on.

    taps: rows n, m, d, bn, bm of recursive.hpp.
    """
    cdef _Recursive made
    cdef int j
    for j in range(4):
        made.n[j], made.m[j], made.d[j] = taps[0, j], taps[1, j], taps[2, j]
        made.bn[j], made.bm[j] = taps[3, j], taps[4, j]
    with nogil:
        _recursive(&values[0, 0, 0], &out[0, 0, 0], made, values.shape[0], values.shape[1], values.shape[2], first,
                   out.shape[1], threads)


def stationary(const real[:, :, ::1] values, real[:, :, :, ::1] out, const real[:, ::1] wx, int64_t sx,
               const real[:, ::1] wy, int64_t sy, const real[:, ::1] wz, int64_t sz, int threads):
    """out (bands, z, y, x) = all bands of values by banks (kernels, taps) with their shifts; x, then y, then z."""
    cdef int64_t sizes[3]
    cdef _Bank[real] bx, by, bz
    sizes[0], sizes[1], sizes[2] = values.shape[0], values.shape[1], values.shape[2]
    bx.count, bx.taps, bx.shift, bx.weights = wx.shape[0], wx.shape[1], sx, &wx[0, 0]
    by.count, by.taps, by.shift, by.weights = wy.shape[0], wy.shape[1], sy, &wy[0, 0]
    bz.count, bz.taps, bz.shift, bz.weights = wz.shape[0], wz.shape[1], sz, &wz[0, 0]
    with nogil:
        _stationary(&values[0, 0, 0], &out[0, 0, 0, 0], sizes, bx, by, bz, threads)
