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
