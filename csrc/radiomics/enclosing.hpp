// The smallest box and the smallest ellipsoid around points (IBSI reference manual 3.1.20 and 3.1.23).
#pragma once

#include <cstdint>

namespace fastimg::radiomics {

// A convex hull: points (x, y, z), outward normals of its triangles, and its edges as (triangle, triangle, point,
// point).
struct Hull {
  const double* points;
  const double* normals;
  std::int64_t triangles;
  const std::int32_t* edges;
  std::int64_t edge_count;
};

// Sides of the smallest of all boxes that have a side at a right angle to one of the directions and, seen along it, the
// smallest rectangle. With the normals of the hull as directions: a face of the box lies on one of the hull's.
void smallest_box(const Hull& hull, const double* directions, std::int64_t count, double* sides);

// The ellipsoid of least volume around count points in space, as the matrix of second moments of its surface
// (its eigenvalues are the squares of the semi-axes): Khachiyan's algorithm with away steps (Todd and Yildirim 2007).
// Points should be about as wide in all directions.
// Returns by how much the volume's logarithm may be too large.
double smallest_ellipsoid(const double* points, std::int64_t count, double* matrix);

}  // namespace fastimg::radiomics
