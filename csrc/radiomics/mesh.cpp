#include <cmath>
#include <mutex>

#include "radiomics/bits.hpp"
#include "radiomics/mesh_table.hpp"
#include "radiomics/shape.hpp"

namespace fastimg::radiomics {
namespace {

void row_moments(const std::uint64_t* row, std::int64_t words, std::int64_t z, std::int64_t y, std::int64_t* m) {
  std::int64_t n = 0, x1 = 0, x2 = 0;
  for (std::int64_t w = 0; w < words; ++w)
    for (std::uint64_t left = row[w]; left;) {  // run by run: sums of x and x * x over [a, b) have closed forms
      const std::int64_t a = __builtin_ctzll(left);
      const std::uint64_t ended = ~(left >> a);
      const std::int64_t length = ended ? __builtin_ctzll(ended) : 64;
      left = a + length >= 64 ? 0 : left & (~std::uint64_t{0} << (a + length));
      const std::int64_t from = 64 * w + a, to = from + length;
      n += length;
      x1 += (to * (to - 1) - from * (from - 1)) / 2;
      x2 += ((to - 1) * to * (2 * to - 1) - (from - 1) * from * (2 * from - 1)) / 6;
    }
  const std::int64_t add[10] = {n, n * z, n * y, x1, n * z * z, n * y * y, x2, n * z * y, z * x1, y * x1};
  for (int i = 0; i < 10; ++i) m[i] += add[i];
}

void row_cubes(const std::uint64_t* a, const std::uint64_t* b, const std::uint64_t* c, const std::uint64_t* d,
               std::int64_t words, std::int64_t z, std::int64_t y, std::int64_t (*cubes)[4]) {
  for (std::int64_t w = 0; w < words; ++w) {
    // Rows carry a spare word of zeros, so that w + 1 can be read.
    const auto next = [w](const std::uint64_t* row) { return row[w] >> 1 | row[w + 1] << 63; };
    const std::uint64_t an = next(a), bn = next(b), cn = next(c), dn = next(d);
    const std::uint64_t any = a[w] | b[w] | c[w] | d[w] | an | bn | cn | dn;
    const std::uint64_t all = a[w] & b[w] & c[w] & d[w] & an & bn & cn & dn;
    for (std::uint64_t left = any & ~all; left; left &= left - 1) {
      const int x = __builtin_ctzll(left);
      const auto bit = [x](std::uint64_t word) { return static_cast<unsigned>(word >> x & 1); };
      const unsigned cube = bit(a[w]) | bit(an) << 1 | bit(bn) << 2 | bit(b[w]) << 3 | bit(c[w]) << 4 | bit(cn) << 5 |
                            bit(dn) << 6 | bit(d[w]) << 7;
      std::int64_t* to = cubes[cube];
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
