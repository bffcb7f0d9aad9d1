# Texture matrices and their features. Levels arrive in a box with a border of `pad` zeros on every side
# (csrc/radiomics/volume.hpp).

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


def maximal_correlation(const double[:, :, ::1] matrices, int threads):
    """Of each symmetric matrix."""
    cdef double[::1] out = np.empty(matrices.shape[0])
    with nogil:
        _each_maximal_correlation(&matrices[0, 0, 0], matrices.shape[0], matrices.shape[1], &out[0], threads)
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
