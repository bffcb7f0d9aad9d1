# Sums, hulls and diameters of a mask.

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

cdef extern from "radiomics/enclosing.hpp" namespace "fastimg::radiomics" nogil:
    cdef cppclass Hull:
        const double* points
        const double* normals
        int64_t triangles
        const int32_t* edges
        int64_t edge_count

    void _smallest_box "fastimg::radiomics::smallest_box"(const Hull&, const double*, int64_t, double*) except +
    double _smallest_ellipsoid "fastimg::radiomics::smallest_ellipsoid"(const double*, int64_t, double*) except +


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


def smallest_box(const double[:, ::1] points, const double[:, ::1] normals, const int32_t[:, ::1] edges,
                 const double[:, ::1] directions):
    """Sides of the smallest box at a right angle to one of the directions, around a hull of triangles."""
    cdef double[::1] sides = np.empty(3)
    cdef Hull hull
    hull.points, hull.normals, hull.triangles = &points[0, 0], &normals[0, 0], normals.shape[0]
    hull.edges, hull.edge_count = &edges[0, 0], edges.shape[0]
    with nogil:
        _smallest_box(hull, &directions[0, 0], directions.shape[0], &sides[0])
    return np.asarray(sides)


def smallest_ellipsoid(const double[:, ::1] points):
    """Its matrix, whose eigenvalues are the squares of the semi-axes, and how much the logarithm of its volume may be
    too large."""
    cdef double[:, ::1] matrix = np.empty((3, 3))
    cdef double above
    with nogil:
        above = _smallest_ellipsoid(&points[0, 0], points.shape[0], &matrix[0, 0])
    return np.asarray(matrix), above
