#include <cmath>
#include <mutex>

#include "fastimg/mesh.cuh"
#include "radiomics/bits.hpp"
#include "radiomics/mesh_table.hpp"
#include "radiomics/shape.hpp"

namespace fastimg::radiomics {
namespace {

void row_moments(const std::uint64_t* row, std::int64_t words, std::int64_t z, std::int64_t y, std::int64_t* m) {
  std::int64_t n = 0, x1 = 0, x2 = 0;
  for (std::int64_t w = 0; w < words; ++w) {
    fastimg::i64 from, to;
    for (fastimg::u64 left = row[w]; next_stretch(&left, &from, &to);) {
      const Stretch part = stretch_of(64 * w + from, 64 * w + to);
      n += part.count;
      x1 += part.sum;
      x2 += part.squares;
    }
  }
  const std::int64_t add[10] = {n, n * z, n * y, x1, n * z * z, n * y * y, x2, n * z * y, z * x1, y * x1};
  for (int i = 0; i < 10; ++i) m[i] += add[i];
}

// Rows carry a spare word of zeros, so that one word more can be read.
void row_cubes(const std::uint64_t* a, const std::uint64_t* b, const std::uint64_t* c, const std::uint64_t* d,
               std::int64_t words, std::int64_t z, std::int64_t y, std::int64_t (*cubes)[4]) {
  const auto at = [](const std::uint64_t* row) { return reinterpret_cast<const u64*>(row); };
  for (std::int64_t w = 0; w < words; ++w) {
    const Cubes here = cubes_of(at(a + w), at(b + w), at(c + w), at(d + w));
    for (u64 left = crossed(here); left; left &= left - 1) {
      const int x = lowest_bit(left);
      std::int64_t* to = cubes[cube_at(here, x)];
      ++to[0];
      to[1] += z;
      to[2] += y;
      to[3] += 64 * w + x;
    }
  }
}

}  // namespace

void sum_cubes(const Bits& bits, ShapeSums& sums, int threads) {
  std::mutex adding;
  cpu::parallel_for(bits.nz - 1, (bits.nz + 14) / 16, threads, [&](std::int64_t begin, std::int64_t end) {
    ShapeSums own;
    for (std::int64_t z = begin; z < end; ++z)
      for (std::int64_t y = 0; y + 1 < bits.ny; ++y) {
        row_moments(bits.row(z, y), bits.words, z, y, own.moments);
        row_cubes(bits.row(z, y), bits.row(z, y + 1), bits.row(z + 1, y), bits.row(z + 1, y + 1), bits.words, z, y,
                  own.cubes);
      }
    std::lock_guard<std::mutex> lock(adding);
    for (int i = 0; i < 10; ++i) sums.moments[i] += own.moments[i];
    for (int i = 0; i < 1024; ++i) sums.cubes[i / 4][i % 4] += own.cubes[i / 4][i % 4];
  });
}

ShapeSums shape_sums(const Mask& mask, int threads) {
  const Bits bits(mask, threads);
  ShapeSums sums;
  sum_cubes(bits, sums, threads);
  find_hulls(bits, sums, threads);
  return sums;
}

void packed_hulls(const std::uint64_t* words, std::int64_t nz, std::int64_t ny, std::int64_t nx, ShapeSums& sums,
                  int threads) {
  find_hulls(Bits(words, nz, ny, nx), sums, threads);
}

void mesh_measures(const std::int64_t* cubes, const double* spacing, double* volume, double* area) {
  double flux = 0, surface = 0;
  for (int cube = 1; cube < 255; ++cube) {
    const std::int64_t* sums = cubes + 4 * cube;
    if (sums[0] == 0) continue;
    const bool inverted = cube >= 128;
    double normal[3] = {0, 0, 0}, corner = 0, size = 0;  // of one cube at the origin: flux = corner + place . normal
    for (const char* at = kTriangles[inverted ? 255 - cube : cube]; *at; at += 3) {
      double p[3][3];
      for (int v = 0; v < 3; ++v) {
        const int edge = at[v] <= '9' ? at[v] - '0' : at[v] - 'a' + 10;
        for (int axis = 0; axis < 3; ++axis) p[v][axis] = 0.5 * kEdges[edge][axis] * spacing[axis];
      }
      double u[3], w[3];
      for (int axis = 0; axis < 3; ++axis) {
        u[axis] = p[0][axis] - p[2][axis];
        w[axis] = p[1][axis] - p[2][axis];
      }
      const double cross[3] = {u[1] * w[2] - u[2] * w[1], u[2] * w[0] - u[0] * w[2], u[0] * w[1] - u[1] * w[0]};
      size += 0.5 * std::sqrt(cross[0] * cross[0] + cross[1] * cross[1] + cross[2] * cross[2]);
      for (int axis = 0; axis < 3; ++axis) {
        normal[axis] += cross[axis];
        corner += cross[axis] * p[2][axis];
      }
    }
    double part = corner * static_cast<double>(sums[0]);
    for (int axis = 0; axis < 3; ++axis) part += normal[axis] * spacing[axis] * static_cast<double>(sums[1 + axis]);
    flux += inverted ? -part : part;
    surface += size * static_cast<double>(sums[0]);
  }
  *volume = flux / 6;
  *area = surface;
}

}  // namespace fastimg::radiomics
