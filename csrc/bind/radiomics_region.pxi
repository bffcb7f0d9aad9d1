# The search for a region, its intensities and their statistics.

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

cdef extern from "radiomics/statistics.hpp" namespace "fastimg::radiomics" nogil:
    cdef cppclass Counted:
        double value
        int64_t count

    vector[Counted] _counted "fastimg::radiomics::counted"(const double*, int64_t) except +
    void _statistics "fastimg::radiomics::statistics"(const vector[Counted]&, double*) except +

cdef extern from "radiomics/local.hpp" namespace "fastimg::radiomics" nogil:
    void _local_peaks "fastimg::radiomics::local_peaks"(
        const double*, const uint8_t*, int64_t, int64_t, int64_t, const double*, double, double*, double*,
        int) except +


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


def local_peaks(const double[:, :, ::1] image, const uint8_t[:, :, ::1] inside, const double[::1] spacing, double radius,
                int threads):
    """(local, global) intensity peak."""
    cdef double local, all_of
    with nogil:
        _local_peaks(&image[0, 0, 0], &inside[0, 0, 0], image.shape[0], image.shape[1], image.shape[2], &spacing[0], radius,
                     &local, &all_of, threads)
    return local, all_of
