# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: language = c++
"""fastimg.harmonize._native: array views in, array views out. Arguments are checked by the callers in Python."""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t

cdef extern from "bind/capi.hpp":
    int fastimg_import_core() except -1

cdef extern from "harmonize/window.hpp" namespace "fastimg::harmonize" nogil:
    void _window "fastimg::harmonize::window"[T](
        const T* values, float* out, int64_t count, float low, float high, float scale, int threads) except +

cdef extern from "harmonize/map.hpp" namespace "fastimg::harmonize" nogil:
    cdef cppclass Knots:
        const float* knot
        const float* level
        const float* slope
        int count
    void _affine "fastimg::harmonize::affine"[T](const T*, float*, int64_t, float, float, int) except +
    void _piecewise "fastimg::harmonize::piecewise"[T](const T*, float*, int64_t, const Knots&, int) except +
    void _lookup "fastimg::harmonize::lookup"[T](const T*, float*, int64_t, const float*, int) except +

cdef extern from "harmonize/combat.hpp" namespace "fastimg::harmonize" nogil:
    cdef cppclass CombatSums:
        double* y
        double* yy
        double* cy
        double* n
        double* c
        double* cc
    cdef cppclass CombatShape:
        int64_t rows, features
        int batches, columns
    void _combat_add "fastimg::harmonize::combat_add"[T](
        const T*, const int32_t*, const double*, const double*, const CombatShape&, const CombatSums&, int) except +
    void _combat_apply "fastimg::harmonize::combat_apply"[T](
        const T*, T*, const int32_t*, const double*, const double*, const double*, const double*, const double*,
        const CombatShape&, int) except +

fastimg_import_core()

ctypedef fused voxel:
    int8_t
    uint8_t
    int16_t
    uint16_t
    int32_t
    float
    double

ctypedef fused small:
    int8_t
    uint8_t
    int16_t
    uint16_t

ctypedef fused real:
    float
    double


def window(const voxel[::1] values, float[::1] out, float low, float high, float scale, int threads):
    """out = window(values): see kernels/fastimg/window.cuh."""
    cdef int64_t count = values.shape[0]
    if count:
        with nogil:
            _window(&values[0], &out[0], count, low, high, scale, threads)


def affine(const voxel[::1] values, float[::1] out, float shift, float scale, int threads):
    """out = (values - shift) * scale: see kernels/fastimg/affine.cuh."""
    cdef int64_t count = values.shape[0]
    if count:
        with nogil:
            _affine(&values[0], &out[0], count, shift, scale, threads)


def piecewise(const voxel[::1] values, float[::1] out, const float[::1] knot, const float[::1] level,
              const float[::1] slope, int threads):
    """out = piecewise(values): see kernels/fastimg/piecewise.cuh."""
    cdef int64_t count = values.shape[0]
    cdef Knots knots
    if count:
        knots.knot = &knot[0]
        knots.level = &level[0]
        knots.slope = &slope[0]
        knots.count = <int>knot.shape[0]
        with nogil:
            _piecewise(&values[0], &out[0], count, knots, threads)


def lookup(const small[::1] values, float[::1] out, const float[::1] table, int threads):
    """out = table[values - least value of the type]."""
    cdef int64_t count = values.shape[0]
    if count:
        with nogil:
            _lookup(&values[0], &out[0], count, &table[0], threads)


cdef inline double* _start(double[::1] array) noexcept nogil:
    if array is None or array.shape[0] == 0:
        return NULL
    return &array[0]


cdef inline const double* _read(const double[::1] array) noexcept nogil:
    if array.shape[0] == 0:
        return NULL
    return &array[0]


def combat_add(const real[:, ::1] x, const int32_t[::1] batch, const double[::1] covariates, const double[::1] center,
               int batches, int columns, double[::1] y, double[::1] yy, double[::1] cy, double[::1] n, double[::1] c,
               double[::1] cc, int threads):
    """Adds to the sums of csrc/harmonize/combat.hpp; n, c and cc are None unless NaN is skipped."""
    cdef CombatShape shape
    cdef CombatSums sums
    if x.shape[0] and x.shape[1]:
        shape.rows, shape.features = x.shape[0], x.shape[1]
        shape.batches, shape.columns = batches, columns
        sums.y, sums.yy, sums.cy = _start(y), _start(yy), _start(cy)
        sums.n, sums.c, sums.cc = _start(n), _start(c), _start(cc)
        with nogil:
            _combat_add(&x[0, 0], &batch[0], _read(covariates), _read(center), shape, sums, threads)


def combat_apply(const real[:, ::1] x, real[:, ::1] out, const int32_t[::1] batch, const double[::1] covariates,
                 const double[::1] mean, const double[::1] beta, const double[::1] gamma, const double[::1] alpha,
                 int batches, int columns, int threads):
    """out = combat_apply(x): see kernels/fastimg/combat.cuh."""
    cdef CombatShape shape
    if x.shape[0] and x.shape[1]:
        shape.rows, shape.features = x.shape[0], x.shape[1]
        shape.batches, shape.columns = batches, columns
        with nogil:
            _combat_apply(&x[0, 0], &out[0, 0], &batch[0], _read(covariates), _read(mean), _read(beta), _read(gamma),
                          _read(alpha), shape, threads)
