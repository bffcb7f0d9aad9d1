# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: language = c++
"""fastimg.histogram._native: array views in, counts out. Arguments are checked by the callers in Python."""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "bind/capi.hpp":
    int fastimg_import_core() except -1

cdef extern from "histogram/moments.hpp" namespace "fastimg::histogram" nogil:
    cdef cppclass Moments:
        int64_t count, skipped
        double mean, m2, min, max
    cdef cppclass WholeSums:
        int64_t count, sum, min, max
        uint64_t high, low
    Moments _moments "fastimg::histogram::moments"[T](const T*, const uint8_t*, int64_t, int) except +
    WholeSums _whole_moments "fastimg::histogram::whole_moments"[T](const T*, const uint8_t*, int64_t, int) except +

cdef extern from "histogram/filter.hpp" namespace "fastimg::histogram" nogil:
    cdef cppclass Borders[T]:
        const T* value
        int count, toggles
    int64_t _filter "fastimg::histogram::filter"[T](
        const T*, const uint8_t*, int64_t, const Borders[T]&, int64_t*, T*, int64_t, int) except +

cdef extern from "histogram/count.hpp" namespace "fastimg::histogram" nogil:
    void count_direct[T](const T*, const uint8_t*, int64_t, int64_t, int64_t*, int64_t, int) except +
    void count_fixed[T](const T*, const uint8_t*, int64_t, double, double, double, int64_t*, int64_t, int) except +
    void count_power[T](const T*, const uint8_t*, int64_t, double, double, int64_t*, int64_t, int) except +
    void count_keys[U](const U*, const uint8_t*, int64_t, int64_t*, int) except +
    int64_t _collect "fastimg::histogram::collect"[U](const U*, const uint8_t*, int64_t, const uint8_t*, U*, int64_t,
        int)

fastimg_import_core()

ctypedef fused voxel:
    int8_t
    uint8_t
    int16_t
    uint16_t
    int32_t
    uint32_t
    int64_t
    uint64_t
    float
    double

ctypedef fused whole:
    int8_t
    uint8_t
    int16_t
    uint16_t
    int32_t
    uint32_t
    int64_t
    uint64_t

ctypedef fused small:
    int8_t
    uint8_t
    int16_t
    uint16_t

ctypedef fused wide:
    int32_t
    uint32_t
    int64_t
    uint64_t
    float
    double

ctypedef fused real:
    float
    double

ctypedef fused word:
    uint32_t
    uint64_t


cdef inline const uint8_t* _start(const uint8_t[::1] mask) noexcept:
    if mask is None or mask.shape[0] == 0:
        return NULL
    return &mask[0]


def direct(const whole[::1] values, const uint8_t[::1] mask, int64_t origin, int64_t[::1] counts, int threads):
    """counts[value - origin] += 1."""
    cdef const uint8_t* where = _start(mask)
    if values.shape[0]:
        with nogil:
            count_direct(&values[0], where, values.shape[0], origin, &counts[0], counts.shape[0], threads)


def fixed(const voxel[::1] values, const uint8_t[::1] mask, double low, double high, double scale,
          int64_t[::1] counts, int threads):
    """counts[fixed_bin(value)] += 1, for bins + 3 counts."""
    cdef const uint8_t* where = _start(mask)
    if values.shape[0]:
        with nogil:
            count_fixed(&values[0], where, values.shape[0], low, high, scale, &counts[0], counts.shape[0], threads)


def power(const real[::1] values, const uint8_t[::1] mask, double inverse, double base, int64_t[::1] counts, int threads):
    """counts[power_bin(value)] += 1, for bins + 1 counts."""
    cdef const uint8_t* where = _start(mask)
    if values.shape[0]:
        with nogil:
            count_power(&values[0], where, values.shape[0], inverse, base, &counts[0], counts.shape[0], threads)


def keys(const word[::1] bits, const uint8_t[::1] mask, int64_t[::1] counts, int threads):
    """counts[top 16 bits of the ordered key] += 1."""
    cdef const uint8_t* where = _start(mask)
    if bits.shape[0]:
        with nogil:
            count_keys(&bits[0], where, bits.shape[0], &counts[0], threads)


def collect(const word[::1] bits, const uint8_t[::1] mask, const uint8_t[::1] wanted, word[::1] out,
            int threads):
    """The bits whose key's top 16 bits are wanted, in any order; returns how many."""
    cdef const uint8_t* where = _start(mask)
    cdef int64_t found = 0
    if bits.shape[0] and out.shape[0]:
        with nogil:
            found = _collect(&bits[0], where, bits.shape[0], &wanted[0], &out[0], out.shape[0], threads)
    return found


def moments(const wide[::1] values, const uint8_t[::1] mask, int threads):
    """(count, skipped, mean, sum of squared deviations, min, max) of the finite values."""
    cdef const uint8_t* where = _start(mask)
    cdef Moments seen
    if values.shape[0]:
        with nogil:
            seen = _moments(&values[0], where, values.shape[0], threads)
    return seen.count, seen.skipped, seen.mean, seen.m2, seen.min, seen.max


def whole_moments(const small[::1] values, const uint8_t[::1] mask, int threads):
    """(count, sum, sum of squares, min, max) as whole numbers."""
    cdef const uint8_t* where = _start(mask)
    cdef WholeSums seen
    if values.shape[0]:
        with nogil:
            seen = _whole_moments(&values[0], where, values.shape[0], threads)
    return seen.count, seen.sum, (int(seen.high) << 64) + seen.low, seen.min, seen.max


def filter(const real[::1] values, const uint8_t[::1] mask, const real[::1] borders, int toggles, int64_t[::1] reached,
           real[::1] out, int threads):
    """Keeps the values between toggling borders and counts what reaches each border; -1: no room (see filter.hpp)."""
    cdef const uint8_t* where = _start(mask)
    cdef Borders[real] all
    cdef int64_t kept = 0
    if values.shape[0]:
        all.value, all.count, all.toggles = &borders[0], <int>borders.shape[0], toggles
        with nogil:
            kept = _filter(&values[0], where, values.shape[0], all, &reached[0], &out[0], out.shape[0], threads)
    return kept
