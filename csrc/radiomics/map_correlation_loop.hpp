// Second largest eigenvalues of eight matrices at once, one in each lane; compiled once a level.
// Included here, so that vectors in the atoms are compiled for the level.
#include "fastimg/eigen.cuh"

namespace fastimg::radiomics::FASTIMG_LEVEL {
namespace {

typedef double Eight __attribute__((vector_size(64)));
typedef std::int64_t Longs __attribute__((vector_size(64)));
static_assert(sizeof(Eight) == kLanes * sizeof(double));

struct Lanes {
  using Mask = Longs;
  static FASTIMG_MEMBER void root(Eight& x) {
    for (int lane = 0; lane < kLanes; ++lane) x[lane] = std::sqrt(x[lane]);
  }
  static FASTIMG_MEMBER void choose(Eight& to, const Longs& first, const Eight& a, const Eight& b) {
    to = first ? a : b;
  }
  static FASTIMG_MEMBER bool any(const Longs& mask) {
    std::int64_t all = 0;
    for (int lane = 0; lane < kLanes; ++lane) all |= mask[lane];
    return all != 0;
  }
};

void correlations(const Cells& cells, int n, double* room, double* found) {
  Eight* a = reinterpret_cast<Eight*>(room);
  Eight root[kMostKinds], inverse[kMostKinds], diagonal[kMostKinds], square[kMostKinds];
  Eight v[kMostKinds], w[kMostKinds], scale, most;
  std::memcpy(&scale, cells.inverse_total, sizeof scale);
  for (int i = 0; i < n; ++i) {
    Eight margin;
    std::memcpy(&margin, cells.margin[i], sizeof margin);
    root[i] = margin * scale;
    Lanes::root(root[i]);
    inverse[i] = 1.0 / root[i];
    // The largest eigenvalue is 1, of the vector of roots: taken away, the second becomes the first.
    for (int j = 0; j <= i; ++j) a[lower_row(i) + j] = -root[i] * root[j];
  }
  const double* factor = reinterpret_cast<const double*>(inverse);
  for (int lane = 0; lane < kLanes; ++lane)
    for (int e = 0; e < cells.count[lane]; ++e) {
      const Cell& cell = cells.cell[lane][e];
      room[(lower_row(cell.i) + cell.j) * kLanes + lane] +=
          cell.weight * cells.inverse_total[lane] * factor[cell.i * kLanes + lane] * factor[cell.j * kLanes + lane];
    }
  tridiagonal_squares<Lanes>(a, n, diagonal, square, v, w);
  largest_absolute<Lanes>(diagonal, square, n, most);
  std::memcpy(found, &most, sizeof most);
}

}  // namespace
}  // namespace fastimg::radiomics::FASTIMG_LEVEL
