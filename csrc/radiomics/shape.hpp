// What the shape features need of a mask, as exact integers: everything in millimetres is made of them afterwards.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/pool.hpp"

namespace fastimg::radiomics {

// A mask of 0 and 1.
struct Mask {
  const std::uint8_t* data;
  std::int64_t nz, ny, nx;
};

// Indices below are those of the mask with a border of one voxel around it.
//
// moments: n, sums of z, y, x, zz, yy, xx, zy, zx, yx over the voxels.
// cubes[256][4]: for each marching-cubes case its count and the sums of its cubes' z, y and x. A mesh at 0.5 is the
// same for every cube of a case but for its place, so area and volume follow from these sums alone.
// hulls: mesh vertices at the corners of the convex hull of each plane of constant z, as (2z, 2y, 2x), which are all
// that the convex hull and the largest distance need; of constant y, as (2y, 2z, 2x); of constant x, as (2x, 2y, 2z).
struct ShapeSums {
  std::int64_t moments[10] = {};
  std::int64_t cubes[256][4] = {};
  std::vector<std::int32_t> hulls[3];
};
ShapeSums shape_sums(const Mask& mask, int threads);

// The hulls alone, of a mask (nz, ny, nx) with its border whose bits are packed: rows of (nx + 63) / 64 + 1 words.
void packed_hulls(const std::uint64_t* words, std::int64_t nz, std::int64_t ny, std::int64_t nx, ShapeSums& sums,
                  int threads);

// Mesh volume and area of such sums: spacing z, y, x. The volume is the flux of the position through the surface, / 3.
void mesh_measures(const std::int64_t* cubes, const double* spacing, double* volume, double* area);

// The largest distance between two of the points (count triples in half voxels, plane by plane) that lie in one plane.
double diameter_in_planes(const std::int32_t* points, std::int64_t count, const double* spacing);

// The largest distance between any two.
double diameter(std::vector<std::int32_t> points, const double* spacing);

// Those of the points that are corners of the convex hulls of their planes y = k / 2 too, then of x = k / 2.
std::vector<std::int32_t> fewer(const std::int32_t* points, std::int64_t count);

// The parts of shape_sums.
struct Bits;
void sum_cubes(const Bits& bits, ShapeSums& sums, int threads);
void find_hulls(const Bits& bits, ShapeSums& sums, int threads);

}  // namespace fastimg::radiomics
