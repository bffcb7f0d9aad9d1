# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: language = c++
"""fastimg.harmonize._native: array views in, array views out. Arguments are checked by the callers in Python."""

from libcpp.vector cimport vector
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t

cdef extern from "bind/capi.hpp":
    int fastimg_import_core() except -1

cdef extern from "harmonize/window.hpp" namespace "fastimg::harmonize" nogil:
    bint _window "fastimg::harmonize::window"[T](
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
        const T*, const int64_t*, const int32_t*, const double*, const double*, const CombatShape&, const CombatSums&,
        int) except +
    void _combat_apply "fastimg::harmonize::combat_apply"[T](
        const T*, T*, const int32_t*, const double*, const double*, const double*, const double*, const double*,
        const CombatShape&, int) except +

cdef extern from "harmonize/clahe.hpp" namespace "fastimg::harmonize" nogil:
    cdef cppclass ClaheGrid:
        int shape[3]
        int tile[3]
        int tiles[3]
        int bins
    void _clahe_levels "fastimg::harmonize::clahe_levels"[T](
        const T*, uint8_t*, int64_t, double, double, double, int) except +
    void _clahe_count "fastimg::harmonize::clahe_count"(
        const uint8_t*, const uint8_t*, const ClaheGrid&, int32_t*, int) except +
    void _clahe_maps "fastimg::harmonize::clahe_maps"(const int32_t*, const ClaheGrid&, double, float*, int) except +
    void _clahe_apply "fastimg::harmonize::clahe_apply"(
        const uint8_t*, const float*, const ClaheGrid&, float*, int) except +

cdef extern from "harmonize/combine.hpp" namespace "fastimg::harmonize" nogil:
    void _combine "fastimg::harmonize::combine"(
        const float* const*, const float*, int, float*, int64_t, int) except +
    void _unsharp "fastimg::harmonize::unsharp"(
        const float*, const float*, float, float*, int64_t, int) except +

cdef extern from "harmonize/fuzzy.hpp" namespace "fastimg::harmonize" nogil:
    void _fuzzy_sums "fastimg::harmonize::fuzzy_sums"(
        const double*, const double*, int64_t, const double*, int, double, double, double*, double*, int) except +

cdef extern from "harmonize/n4.hpp" namespace "fastimg::harmonize" nogil:
    cdef cppclass N4Axis:
        const int32_t* start
        const double* weight
        int64_t positions, controls
    cdef cppclass _N4Grid "fastimg::harmonize::N4Grid":
        N4Axis z, y, x
        const int32_t* begin
        const int64_t* offset
    cdef cppclass N4Ends:
        float low, high
    cdef cppclass _N4Level "fastimg::harmonize::N4Level":
        const float* log
        const float* confidence
        _N4Grid field, fit
        const double* share
        const double* turns
        int bins, size
        double fwhm, noise
    N4Ends _n4_evaluate "fastimg::harmonize::n4_evaluate"(
        const double*, const _N4Grid&, const float*, float*, float*, int) except +
    void _n4_share "fastimg::harmonize::n4_share"(const float*, const _N4Grid&, double*, int) except +
    N4Ends _n4_iterate "fastimg::harmonize::n4_iterate"(
        const _N4Level&, N4Ends, double*, float*, float*, int) except +
    N4Ends _n4_iterate_beside "fastimg::harmonize::n4_iterate_beside"(
        const _N4Level&, N4Ends, double*, float*, float*, const float*, float*) except +
    void _n4_ratio "fastimg::harmonize::n4_ratio"(
        const float*, const float*, const uint8_t*, float*, int64_t, int) except +
    float _n4_change "fastimg::harmonize::n4_change"(const float*, int64_t)
    void _n4_finish "fastimg::harmonize::n4_finish"(
        const double*, const _N4Grid&, const float*, float*, float*, int) except +

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
    """out = window(values), whether there is a NaN: see kernels/fastimg/window.cuh."""
    cdef int64_t count = values.shape[0]
    cdef bint holes = False
    if count:
        with nogil:
            holes = _window(&values[0], &out[0], count, low, high, scale, threads)
    return holes


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


def combine(arrays, const float[::1] weights, float[::1] out, int threads):
    """out = sum of weights[k] * arrays[k] in this order; out may be one of them."""
    cdef const float[::1] one
    cdef vector[const float*] start
    cdef int64_t count = out.shape[0]
    if count:
        for one in arrays:
            start.push_back(&one[0])
        with nogil:
            _combine(start.data(), &weights[0], <int>weights.shape[0], &out[0], count, threads)


def unsharp(const float[::1] values, const float[::1] smooth, float amount, float[::1] out, int threads):
    """out = values + amount * (values - smooth); out may be either."""
    cdef int64_t count = out.shape[0]
    if count:
        with nogil:
            _unsharp(&values[0], &smooth[0], amount, &out[0], count, threads)


cdef inline double* _start(double[::1] array) noexcept nogil:
    if array is None or array.shape[0] == 0:
        return NULL
    return &array[0]


cdef inline const double* _read(const double[::1] array) noexcept nogil:
    if array.shape[0] == 0:
        return NULL
    return &array[0]


def combat_add(const real[:, ::1] x, const int64_t[::1] order, const int32_t[::1] batch,
               const double[::1] covariates, const double[::1] center,
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
            _combat_add(&x[0, 0], &order[0], &batch[0], _read(covariates), _read(center), shape, sums, threads)


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


def fuzzy_sums(const double[::1] values, const double[::1] number, const double[::1] centers, double tiny, double m,
               double[::1] weight, double[::1] moment, int threads):
    """Each class' sums of number x membership^m, and of that x value: see csrc/harmonize/fuzzy.hpp."""
    with nogil:
        _fuzzy_sums(&values[0], &number[0], values.shape[0], &centers[0], <int>centers.shape[0], tiny, m, &weight[0],
                    &moment[0], threads)


cdef class N4Grid:
    """B-spline weights (start, weight) of the axes z, y, x, of so many control points each; the part of each row (z, y)
    where voxels count. See csrc/harmonize/n4.hpp."""

    cdef object owners
    cdef _N4Grid grid

    def __cinit__(self, axes, int64_t controls, const int32_t[::1] begin, const int64_t[::1] offset):
        cdef const int32_t[::1] start
        cdef const double[:, ::1] weight
        cdef N4Axis[3] found
        for axis in range(3):
            start, weight = axes[axis]
            found[axis].start, found[axis].weight = &start[0], &weight[0, 0]
            found[axis].positions, found[axis].controls = start.shape[0], controls
        self.grid.z, self.grid.y, self.grid.x = found[0], found[1], found[2]
        self.grid.begin, self.grid.offset = &begin[0], &offset[0]
        self.owners = (axes, begin, offset)


def n4_share(const float[::1] confidence, N4Grid grid, double[:, :, ::1] share, int threads):
    """Sums of confidence x weights at each control point."""
    with nogil:
        _n4_share(&confidence[0], grid.grid, &share[0, 0, 0], threads)


cdef class N4Level:
    """A level of the spline: logarithms (NaN: does not count), their confidence or None, the weights of spline and fit,
    each control point's share, and how the histogram is sharpened. See csrc/harmonize/n4.hpp."""

    cdef object owners
    cdef _N4Level level

    def __cinit__(self, const float[::1] log, const float[::1] confidence, N4Grid field, N4Grid fit,
                  const double[:, :, ::1] share, const double[::1] turns, int bins, double fwhm, double noise):
        self.level.log = &log[0]
        self.level.confidence = NULL
        if confidence is not None:
            self.level.confidence = &confidence[0]
        self.level.field, self.level.fit = field.grid, fit.grid
        self.level.share, self.level.turns = &share[0, 0, 0], &turns[0]
        self.level.bins, self.level.size = bins, <int>turns.shape[0] // 2 + 1
        self.level.fwhm, self.level.noise = fwhm, noise
        self.owners = (log, confidence, field, fit, share, turns)

    def evaluate(self, const double[:, :, ::1] lattice, float[::1] field, float[::1] rest, int threads):
        """field = the lattice's spline, rest = log - field; returns the ends of the rest."""
        cdef N4Ends ends
        with nogil:
            ends = _n4_evaluate(&lattice[0, 0, 0], self.level.field, self.level.log, &field[0], &rest[0], threads)
        return ends.low, ends.high

    def iterate(self, ends, double[:, :, ::1] lattice, float[::1] field, float[::1] rest, int threads):
        """The lattice after one more iteration, its field, what that leaves, and the ends of the rest."""
        cdef N4Ends found
        found.low, found.high = ends
        with nogil:
            found = _n4_iterate(self.level, found, &lattice[0, 0, 0], &field[0], &rest[0], threads)
        return found.low, found.high

    def iterate_beside(self, ends, double[:, :, ::1] lattice, float[::1] field, float[::1] rest, const float[::1] ratio):
        """The same beside n4_change(ratio), on two threads: (ends, change)."""
        cdef N4Ends found
        cdef float change = 0
        found.low, found.high = ends
        with nogil:
            found = _n4_iterate_beside(self.level, found, &lattice[0, 0, 0], &field[0], &rest[0], &ratio[0], &change)
        return (found.low, found.high), change


def n4_ratio(const float[::1] before, const float[::1] after, const uint8_t[::1] mask, float[::1] out, int threads):
    """out = exp(before - after), NaN outside the mask."""
    with nogil:
        _n4_ratio(&before[0], &after[0], &mask[0], &out[0], out.shape[0], threads)


def n4_change(const float[::1] ratio):
    """ITK's measure of convergence: see csrc/harmonize/n4.hpp."""
    cdef float change
    with nogil:
        change = _n4_change(&ratio[0], ratio.shape[0])
    return change


def n4_finish(const double[:, :, ::1] lattice, N4Grid grid, const float[:, :, ::1] image, float[:, :, ::1] corrected,
              float[:, :, ::1] field, int threads):
    """field = exp(the lattice's spline), corrected = image / field."""
    with nogil:
        _n4_finish(&lattice[0, 0, 0], grid.grid, &image[0, 0, 0], &corrected[0, 0, 0], &field[0, 0, 0], threads)


def clahe_levels(const voxel[::1] values, uint8_t[::1] out, double low, double scale, double inverse, int threads):
    """The bin of each value: see kernels/fastimg/clahe.cuh."""
    if values.shape[0]:
        with nogil:
            _clahe_levels(&values[0], &out[0], values.shape[0], low, scale, inverse, threads)


cdef ClaheGrid _grid(shape, tile, tiles, int bins):
    cdef ClaheGrid grid
    for axis in range(3):
        grid.shape[axis], grid.tile[axis], grid.tiles[axis] = shape[axis], tile[axis], tiles[axis]
    grid.bins = bins
    return grid


def clahe_count(const uint8_t[::1] levels, const uint8_t[::1] mask, shape, tile, int32_t[:, :, :, ::1] counts, int threads):
    """counts[tile z, y, x, bin]."""
    cdef ClaheGrid grid = _grid(shape, tile, (counts.shape[0], counts.shape[1], counts.shape[2]), counts.shape[3])
    cdef const uint8_t* where = NULL
    if mask is not None:
        where = &mask[0]
    with nogil:
        _clahe_count(&levels[0], where, grid, &counts[0, 0, 0, 0], threads)


def clahe_maps(const int32_t[:, :, :, ::1] counts, double limit, float[:, :, :, ::1] maps, int threads):
    """counts -> grey levels."""
    cdef ClaheGrid grid = _grid((1, 1, 1), (1, 1, 1), (counts.shape[0], counts.shape[1], counts.shape[2]), counts.shape[3])
    with nogil:
        _clahe_maps(&counts[0, 0, 0, 0], grid, limit, &maps[0, 0, 0, 0], threads)


def clahe_apply(const uint8_t[::1] levels, const float[:, :, :, ::1] maps, shape, tile, float[::1] out, int threads):
    """Each voxel's level through the maps of the tiles around it."""
    cdef ClaheGrid grid = _grid(shape, tile, (maps.shape[0], maps.shape[1], maps.shape[2]), maps.shape[3])
    with nogil:
        _clahe_apply(&levels[0], &maps[0, 0, 0, 0], grid, &out[0], threads)
