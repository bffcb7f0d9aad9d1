# cython: boundscheck=False, wraparound=False, cdivision=True
# distutils: language = c++
"""fastimg.radiomics._native: array views in, arrays out. Arguments are checked by the callers in Python.

Levels arrive in a box with a border of `pad` zeros on every side (csrc/radiomics/volume.hpp)."""

import numpy as np

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
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
    void _each_maximal_correlation "fastimg::radiomics::each_maximal_correlation"(
        const double*, int64_t, int64_t, double*, int) except +
    void _each_glcm_features "fastimg::radiomics::each_glcm_features"(
        const double*, int64_t, int64_t, double, double*, int) except +

cdef extern from "radiomics/runs.hpp" namespace "fastimg::radiomics" nogil:
    void _glrlm "fastimg::radiomics::glrlm"[T](
        const Volume[T]&, const Offset*, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t*, int) except +

cdef extern from "radiomics/neighbours.hpp" namespace "fastimg::radiomics" nogil:
    void _neighbours "fastimg::radiomics::neighbours"[T](
        const Volume[T]&, const Offset*, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t*, int64_t*, int64_t*,
        int) except +

cdef extern from "radiomics/zones.hpp" namespace "fastimg::radiomics" nogil:
    cdef cppclass Zones:
        vector[int32_t] level, distance
        vector[int64_t] size

    cdef cppclass Tally:
        vector[int64_t] level, value, zones

    cdef cppclass Tallies:
        Tally size, distance

    Zones _zones "fastimg::radiomics::zones"[T](
        const Volume[T]&, bint, int64_t, int64_t, int64_t, const uint16_t*) except +
    Tallies _zone_tallies "fastimg::radiomics::zone_tallies"[T](
        const Volume[T]&, bint, int64_t, int64_t, int64_t, const uint16_t*) except +
    void _taxicab "fastimg::radiomics::taxicab"(
        const uint8_t*, int64_t, int64_t, int64_t, bint, uint16_t*, int) except +

cdef extern from "radiomics/size_features.hpp" namespace "fastimg::radiomics" nogil:
    cdef cppclass Entry:
        int64_t level, size
        double weight

    void _size_features "fastimg::radiomics::size_features"(const vector[Entry]&, double, double, double*) except +
    vector[Entry] _sparse "fastimg::radiomics::sparse"(const double*, int64_t, int64_t) except +

cdef extern from "radiomics/local.hpp" namespace "fastimg::radiomics" nogil:
    void _local_peaks "fastimg::radiomics::local_peaks"(
        const double*, const uint8_t*, int64_t, int64_t, int64_t, const double*, double, double*, double*,
        int) except +

cdef extern from "radiomics/shape.hpp" namespace "fastimg::radiomics" nogil:
    cdef cppclass Mask:
        const uint8_t* data
        int64_t nz, ny, nx

    cdef cppclass ShapeSums:
        int64_t moments[10]
        int64_t cubes[256][4]
        vector[int32_t] hulls[3]

    ShapeSums _shape_sums "fastimg::radiomics::shape_sums"(const Mask&, int) except +
    void _packed_hulls "fastimg::radiomics::packed_hulls"(
        const uint64_t*, int64_t, int64_t, int64_t, ShapeSums&, int) except +
    void _mesh_measures "fastimg::radiomics::mesh_measures"(const int64_t*, const double*, double*, double*)
    vector[int32_t] _fewer "fastimg::radiomics::fewer"(const int32_t*, int64_t) except +
    double _diameter "fastimg::radiomics::diameter"(vector[int32_t], const double*) except +
    double _diameter_in_planes "fastimg::radiomics::diameter_in_planes"(const int32_t*, int64_t, const double*)

cdef extern from "radiomics/statistics.hpp" namespace "fastimg::radiomics" nogil:
    cdef cppclass Counted:
        double value
        int64_t count

    vector[Counted] _counted "fastimg::radiomics::counted"(const double*, int64_t) except +
    void _statistics "fastimg::radiomics::statistics"(const vector[Counted]&, double*) except +

cdef extern from "radiomics/region.hpp" namespace "fastimg::radiomics" nogil:
    cdef cppclass Found:
        int64_t count, z_begin, z_end, y_begin, y_end, x_begin, x_end, label
        bint several

    cdef cppclass Crop[V]:
        const V* data
        int64_t step_z, step_y
        const uint8_t* inside
        int64_t nz, ny, nx

    Found _find_region "fastimg::radiomics::find_region"[T](
        const T*, int64_t, int64_t, int64_t, bint, int64_t, int) except +
    void _range_inside "fastimg::radiomics::range_inside"[V](const Crop[V]&, int64_t*, int64_t*) except +
    void _count_inside "fastimg::radiomics::count_inside"[V](
        const Crop[V]&, int64_t, int64_t, int64_t*, int) except +
    void _look_up_inside "fastimg::radiomics::look_up_inside"[V, T](
        const Crop[V]&, int64_t, const T*, int64_t, T*, int) except +

cdef extern from "radiomics/maps.hpp" namespace "fastimg::radiomics" nogil:
    cdef cppclass Window:
        const int64_t* places
        int64_t cells
        const int32_t *pairs
        const int32_t *pair_begins
        int64_t offsets
        const int32_t* touching
        int64_t touching_count
        const int32_t *lines
        const int32_t *line_begins
        int64_t directions

    cdef cppclass MapSettings:
        int64_t levels, alpha
        bint symmetric, merged, peer
        const double* pair_weights
        const double* line_weights
        double shift, voxel_volume, flat_correlation

    cdef enum class Family(int):
        pass

    void _map_features "fastimg::radiomics::map_features"(
        Family, const uint16_t*, const double*, const Window&, const MapSettings&, const int64_t*, const int64_t*,
        int64_t, const int32_t*, double*, int64_t, int) except +

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


def glcm_features(const double[:, :, ::1] matrices, double epsilon, int threads):
    """(matrices, 25) features."""
    cdef double[:, ::1] out = np.empty((matrices.shape[0], 25))
    with nogil:
        _each_glcm_features(&matrices[0, 0, 0], matrices.shape[0], matrices.shape[1], epsilon, &out[0, 0], threads)
    return np.asarray(out)


def glrlm(const level[:, :, ::1] levels, int64_t pad, const int32_t[:, ::1] directions, int64_t begin, int64_t end,
          int64_t[:, :, ::1] counts, int threads):
    """counts (directions, levels, longest) += runs that begin in slices [begin, end)."""
    cdef Volume[level] volume = _volume[level](levels, pad)
    cdef const Offset* places = <const Offset*>&directions[0, 0]
    with nogil:
        _glrlm(volume, places, directions.shape[0], begin, end, counts.shape[1], counts.shape[2], &counts[0, 0, 0], threads)


def neighbours(const level[:, :, ::1] levels, int64_t pad, const int32_t[:, ::1] offsets, int64_t begin, int64_t end,
               int64_t alpha, int64_t[:, :, ::1] tables, int threads):
    """tables (3, levels, offsets + 1) += dependent, valid, apart of slices [begin, end)."""
    cdef Volume[level] volume = _volume[level](levels, pad)
    cdef const Offset* places = <const Offset*>&offsets[0, 0]
    with nogil:
        _neighbours(volume, places, offsets.shape[0], begin, end, tables.shape[1], alpha, &tables[0, 0, 0],
                    &tables[1, 0, 0], &tables[2, 0, 0], threads)


cdef _as_array32(const vector[int32_t]& values):
    cdef int32_t[::1] out = np.empty(values.size(), np.int32)
    cdef Py_ssize_t i
    for i in range(<Py_ssize_t>values.size()):
        out[i] = values[i]
    return np.asarray(out)


cdef _as_array64(const vector[int64_t]& values):
    cdef int64_t[::1] out = np.empty(values.size(), np.int64)
    cdef Py_ssize_t i
    for i in range(<Py_ssize_t>values.size()):
        out[i] = values[i]
    return np.asarray(out)


cdef _tally(const Tally& tally):
    return _as_array64(tally.level), _as_array64(tally.value), _as_array64(tally.zones)


def zones(const level[:, :, ::1] levels, int64_t pad, bint flat, int64_t begin, int64_t end, int64_t count,
          const uint16_t[:, :, ::1] distances):
    """(level, size, distance) of the zones of slices [begin, end); distances of the box without border, or None."""
    cdef Volume[level] volume = _volume[level](levels, pad)
    cdef const uint16_t* far = NULL
    if distances is not None:
        far = &distances[0, 0, 0]
    cdef Zones found
    with nogil:
        found = _zones(volume, flat, begin, end, count, far)
    return _as_array32(found.level), _as_array64(found.size), _as_array32(found.distance)


def zone_tallies(const level[:, :, ::1] levels, int64_t pad, bint flat, int64_t begin, int64_t end, int64_t count,
                 const uint16_t[:, :, ::1] distances):
    """(level, size, zones) and (level, distance, zones) of the zones of slices [begin, end), in order."""
    cdef Volume[level] volume = _volume[level](levels, pad)
    cdef const uint16_t* far = NULL
    if distances is not None:
        far = &distances[0, 0, 0]
    cdef Tallies found
    with nogil:
        found = _zone_tallies(volume, flat, begin, end, count, far)
    return _tally(found.size), _tally(found.distance)


def taxicab(const uint8_t[:, :, ::1] mask, bint flat, int threads):
    """Distance of each voxel of a mask to the nearest one outside, in steps along the axes; uint16."""
    cdef uint16_t[:, :, ::1] out = np.empty((mask.shape[0], mask.shape[1], mask.shape[2]), np.uint16)
    with nogil:
        _taxicab(&mask[0, 0, 0], mask.shape[0], mask.shape[1], mask.shape[2], flat, &out[0, 0, 0], threads)
    return np.asarray(out)


def size_features_of_matrices(const double[:, :, ::1] matrices, double voxels, double epsilon):
    """(matrices, 17) features of (levels, sizes) matrices."""
    cdef double[:, ::1] out = np.empty((matrices.shape[0], 17))
    cdef Py_ssize_t k
    with nogil:
        for k in range(matrices.shape[0]):
            _size_features(_sparse(&matrices[k, 0, 0], matrices.shape[1], matrices.shape[2]), voxels, epsilon, &out[k, 0])
    return np.asarray(out)


def size_features_of_entries(const int64_t[:] level_of, const int64_t[:] size_of, const int64_t[:] count_of, double voxels,
                             double epsilon):
    """17 features of (level, size, how often), in order, at least one."""
    cdef double[::1] out = np.empty(17)
    cdef vector[Entry] entries
    cdef Py_ssize_t i
    with nogil:
        entries.resize(level_of.shape[0])
        for i in range(level_of.shape[0]):
            entries[i].level, entries[i].size, entries[i].weight = level_of[i], size_of[i], count_of[i]
        _size_features(entries, voxels, epsilon, &out[0])
    return np.asarray(out)


def local_peaks(const double[:, :, ::1] image, const uint8_t[:, :, ::1] inside, const double[::1] spacing, double radius,
                int threads):
    """(local, global) intensity peak."""
    cdef double local, all_of
    with nogil:
        _local_peaks(&image[0, 0, 0], &inside[0, 0, 0], image.shape[0], image.shape[1], image.shape[2], &spacing[0], radius,
                     &local, &all_of, threads)
    return local, all_of


def maximal_correlation(const double[:, :, ::1] matrices, int threads):
    """Of each symmetric matrix."""
    cdef double[::1] out = np.empty(matrices.shape[0])
    with nogil:
        _each_maximal_correlation(&matrices[0, 0, 0], matrices.shape[0], matrices.shape[1], &out[0], threads)
    return np.asarray(out)


cdef Mask _mask(const uint8_t[:, :, ::1] mask) noexcept:
    cdef Mask result
    result.data = &mask[0, 0, 0]
    result.nz, result.ny, result.nx = mask.shape[0], mask.shape[1], mask.shape[2]
    return result


cdef _triples(const vector[int32_t]& points):
    cdef Py_ssize_t count = points.size() // 3, i
    cdef int32_t[:, ::1] out = np.empty((count, 3), np.int32)
    for i in range(3 * count):
        (&out[0, 0])[i] = points[i]
    return np.asarray(out)


def shape_sums(const uint8_t[:, :, ::1] mask, int threads):
    """Of a mask: 10 moments, (256, 4) sums of marching-cubes cases, and for z, y and x the (n, 3) corners of the hulls of
    its planes in half voxels (csrc/radiomics/shape.hpp)."""
    cdef int64_t[::1] moments = np.empty(10, np.int64)
    cdef int64_t[:, ::1] cubes = np.empty((256, 4), np.int64)
    cdef Mask view = _mask(mask)
    cdef ShapeSums sums
    cdef int i
    with nogil:
        sums = _shape_sums(view, threads)
        for i in range(10):
            moments[i] = sums.moments[i]
        for i in range(1024):
            cubes[i // 4, i % 4] = sums.cubes[i // 4][i % 4]
    hulls = tuple(_triples(sums.hulls[i]) for i in range(3))
    return np.asarray(moments), np.asarray(cubes), hulls


def packed_hulls(const uint64_t[:, :, ::1] bits, int64_t nx, int threads):
    """The hulls of shape_sums, of a mask with its border, nx wide, one bit a voxel."""
    cdef ShapeSums sums
    with nogil:
        _packed_hulls(&bits[0, 0, 0], bits.shape[0], bits.shape[1], nx, sums, threads)
    return tuple(_triples(sums.hulls[i]) for i in range(3))


def mesh_measures(const int64_t[:, ::1] cubes, const double[::1] spacing):
    """(volume, area) in mm3 and mm2."""
    cdef double volume, area
    _mesh_measures(&cubes[0, 0], &spacing[0], &volume, &area)
    return volume, area


def fewer(const int32_t[:, ::1] points):
    """Those that are corners of the hulls of all planes along each axis."""
    cdef vector[int32_t] left
    with nogil:
        left = _fewer(&points[0, 0], points.shape[0])
    return _triples(left)


def diameter(const int32_t[:, ::1] points, const double[::1] spacing):
    """Largest distance in mm."""
    cdef vector[int32_t] all_of
    all_of.assign(&points[0, 0], &points[0, 0] + 3 * points.shape[0])
    cdef double largest
    with nogil:
        largest = _diameter(all_of, &spacing[0])
    return largest


def diameter_in_planes(const int32_t[:, ::1] points, const double[::1] spacing):
    """Largest distance in mm between points of one plane."""
    return _diameter_in_planes(&points[0, 0], points.shape[0], &spacing[0])


def counted(const double[::1] ordered):
    """(distinct values, how often each occurs) of values in order."""
    cdef vector[Counted] histogram
    with nogil:
        histogram = _counted(&ordered[0], ordered.shape[0])
    cdef double[::1] distinct = np.empty(histogram.size())
    cdef int64_t[::1] counts = np.empty(histogram.size(), np.int64)
    cdef Py_ssize_t i
    for i in range(<Py_ssize_t>histogram.size()):
        distinct[i] = histogram[i].value
        counts[i] = histogram[i].count
    return np.asarray(distinct), np.asarray(counts)


def statistics(const double[::1] distinct, const int64_t[::1] counts):
    """18 features of a histogram: distinct values in order and how often each occurs (at least once)."""
    cdef vector[Counted] histogram
    cdef double[::1] out = np.empty(18)
    cdef Py_ssize_t i
    with nogil:
        histogram.resize(distinct.shape[0])
        for i in range(distinct.shape[0]):
            histogram[i].value = distinct[i]
            histogram[i].count = counts[i]
        _statistics(histogram, &out[0])
    return np.asarray(out)


ctypedef fused label_type:
    uint8_t
    int8_t
    uint16_t
    int16_t
    uint32_t
    int32_t
    uint64_t
    int64_t


def find_region(const label_type[:, :, ::1] labels, bint any_label, int64_t label, int threads):
    """(voxels, (z, y, x begins and ends), label, whether there are others) of a label, or of all that are not 0."""
    cdef Found found
    with nogil:
        found = _find_region(&labels[0, 0, 0], labels.shape[0], labels.shape[1], labels.shape[2], any_label, label, threads)
    box = (found.z_begin, found.z_end, found.y_begin, found.y_end, found.x_begin, found.x_end)
    return found.count, box, found.label, found.several


ctypedef fused whole:
    uint8_t
    uint16_t
    int16_t
    int32_t


cdef Crop[whole] _crop(const whole[:, :, :] image, const uint8_t[:, :, ::1] inside) except *:
    if image.strides[2] != sizeof(whole):
        raise ValueError("rows of the image must be contiguous")
    cdef Crop[whole] crop
    crop.data = &image[0, 0, 0]
    crop.step_z, crop.step_y = image.strides[0] // <Py_ssize_t>sizeof(whole), image.strides[1] // <Py_ssize_t>sizeof(whole)
    crop.inside = &inside[0, 0, 0]
    crop.nz, crop.ny, crop.nx = inside.shape[0], inside.shape[1], inside.shape[2]
    return crop


def range_inside(const whole[:, :, :] image, const uint8_t[:, :, ::1] inside):
    """Least and largest value inside."""
    cdef Crop[whole] crop = _crop[whole](image, inside)
    cdef int64_t least = 0, largest = 0
    with nogil:
        _range_inside(crop, &least, &largest)
    return least, largest


def count_inside(const whole[:, :, :] image, const uint8_t[:, :, ::1] inside, int64_t low, int64_t[::1] counts, int threads):
    """counts[v - low] += how often v occurs inside."""
    cdef Crop[whole] crop = _crop[whole](image, inside)
    with nogil:
        _count_inside(crop, low, counts.shape[0], &counts[0], threads)


def look_up_inside(const whole[:, :, :] image, const uint8_t[:, :, ::1] inside, int64_t low, const level[::1] table,
                   int64_t pad, level[:, :, ::1] levels, int threads):
    """levels (with its border of zeros) = table[v - low] inside."""
    cdef Crop[whole] crop = _crop[whole](image, inside)
    with nogil:
        _look_up_inside(crop, low, &table[0], pad, &levels[0, 0, 0], threads)


ctypedef fused voxel:
    int16_t
    uint8_t
    uint16_t
    int32_t
    float
    double


def gather(const voxel[:, :, :] image, const uint8_t[:, :, ::1] inside, double[::1] values):
    """The image's values inside, in order, as float64."""
    cdef Py_ssize_t z, y, x, n = 0
    with nogil:
        for z in range(image.shape[0]):
            for y in range(image.shape[1]):
                for x in range(image.shape[2]):
                    if inside[z, y, x]:
                        values[n] = image[z, y, x]
                        n += 1


def discretise(const double[::1] values, const uint8_t[:, :, ::1] inside, const double[::1] edges, int64_t pad,
               level[:, :, ::1] levels, int64_t[::1] counts):
    """levels (with its border) of values: the number of edges at or below each; and how many voxels each level has.

    Edges ascend in nearly equal steps; no value lies below the first."""
    cdef Py_ssize_t z, y, x, n = 0, last = edges.shape[0] - 1, i
    cdef double first = edges[0], v
    cdef double scale = 1.0 if last == 0 else last / (edges[last] - first)
    with nogil:
        for z in range(inside.shape[0]):
            for y in range(inside.shape[1]):
                for x in range(inside.shape[2]):
                    if not inside[z, y, x]:
                        continue
                    v = values[n]
                    n += 1
                    i = <Py_ssize_t>min((v - first) * scale, <double>last)
                    while i < last and v >= edges[i + 1]:
                        i += 1
                    while i > 0 and v < edges[i]:
                        i -= 1
                    levels[z + pad, y + pad, x + pad] = <level>(i + 1)
                    counts[i] += 1


def map_features(int family, const uint16_t[::1] levels, const double[::1] values, window, options,
                 const int64_t[::1] centres, const int64_t[::1] targets, const int32_t[::1] slots, double[:, ::1] out,
                 int threads):
    """out[slots[f], targets[c]] = feature f of the window around centres[c] (csrc/radiomics/maps.hpp).

    window: (places, pairs, pair_begins, touching, lines, line_begins), the first int64, the others int32. options: (levels,
    alpha, symmetric, merged, peer, pair_weights, line_weights, shift, voxel_volume, flat_correlation)."""
    cdef const int64_t[::1] places = window[0]
    cdef const int32_t[::1] pairs = window[1], pair_begins = window[2], touching = window[3]
    cdef const int32_t[::1] lines = window[4], line_begins = window[5]
    cdef const double[::1] pair_weights = options[5], line_weights = options[6]
    cdef Window view
    view.places, view.cells = &places[0], places.shape[0]
    view.pairs = &pairs[0] if pairs.shape[0] else NULL
    view.pair_begins, view.offsets = &pair_begins[0], pair_begins.shape[0] - 1
    view.touching, view.touching_count = &touching[0], touching.shape[0] // 2
    view.lines, view.line_begins, view.directions = &lines[0], &line_begins[0], line_begins.shape[0] - 1
    cdef MapSettings chosen
    chosen.levels, chosen.alpha = options[0], options[1]
    chosen.symmetric, chosen.merged, chosen.peer = options[2], options[3], options[4]
    chosen.pair_weights = &pair_weights[0] if pair_weights is not None else NULL
    chosen.line_weights = &line_weights[0] if line_weights is not None else NULL
    chosen.shift, chosen.voxel_volume, chosen.flat_correlation = options[7], options[8], options[9]
    cdef const double* of_values = &values[0] if values is not None else NULL
    with nogil:
        _map_features(<Family>family, &levels[0], of_values, view, chosen, &centres[0], &targets[0], centres.shape[0],
                      &slots[0], &out[0, 0], out.shape[1], threads)
