// Second largest eigenvalues of eight matrices at once, one in each lane; compiled once a level.
namespace fastimg::radiomics::FASTIMG_LEVEL {
namespace {

typedef double Eight __attribute__((vector_size(64)));
typedef std::int64_t Longs __attribute__((vector_size(64)));
static_assert(sizeof(Eight) == kLanes * sizeof(double));

static inline __attribute__((always_inline)) Eight root_of(Eight x) {
  for (int lane = 0; lane < kLanes; ++lane) x[lane] = std::sqrt(x[lane]);
  return x;
}
static inline __attribute__((always_inline)) bool any(Longs mask) {
  std::int64_t all = 0;
  for (int lane = 0; lane < kLanes; ++lane) all |= mask[lane];
  return all != 0;
}
static inline __attribute__((always_inline)) int row(int i) { return i * (i + 1) / 2; }

// Householder's reduction of symmetric matrices (rows up to the diagonal) to tridiagonal form: diagonal, squares
// beside.
static inline __attribute__((always_inline)) void reduce(Eight* a, int n, Eight* diagonal, Eight* square) {
  Eight v[kMostKinds], w[kMostKinds];
  for (int k = 0; k < n - 2; ++k) {
    Eight rest = {};
    for (int i = k + 2; i < n; ++i) {
      v[i] = a[row(i) + k];
      rest += v[i] * v[i];
    }
    const Eight first = a[row(k + 1) + k], whole = first * first + rest, length = root_of(whole);
    const Longs some = rest > 0.0;  // or the column has its form already
    const Eight head = first < 0.0 ? first - length : first + length, none = {};
    const Eight beta = some ? 2.0 / (head * head + rest) : none;
    v[k + 1] = some ? head : none;
    diagonal[k] = a[row(k) + k];
    square[k] = whole;
    for (int i = k + 1; i < n; ++i) {
      Eight sum = {};
      const Eight* of = a + row(i);
      for (int j = k + 1; j < i; ++j) {
        sum += of[j] * v[j];
        w[j] += of[j] * v[i];
      }
      w[i] = sum + of[i] * v[i];
    }
    Eight along = {};
    for (int i = k + 1; i < n; ++i) {
      w[i] *= beta;
      along += w[i] * v[i];
    }
    along *= 0.5 * beta;
    for (int i = k + 1; i < n; ++i) w[i] -= along * v[i];
    for (int i = k + 1; i < n; ++i) {
      Eight* of = a + row(i);
      for (int j = k + 1; j <= i; ++j) of[j] -= v[i] * w[j] + w[i] * v[j];
    }
  }
  diagonal[n - 2] = a[row(n - 2) + n - 2];
  diagonal[n - 1] = a[row(n - 1) + n - 1];
  square[n - 2] = a[row(n - 1) + n - 2] * a[row(n - 1) + n - 2];
}

// The largest absolute eigenvalue: Laguerre's method as in map_correlation.cpp, for the matrix and its mirror image.
static inline __attribute__((always_inline)) Eight largest(const Eight* diagonal, const Eight* square, int size) {
  const double n = size;
  const Eight one = Eight{} + 1;
  Eight x[2] = {one, one};
  Longs going[2] = {~Longs{}, ~Longs{}};
  for (int step = 0; step < 40 && any(going[0] | going[1]); ++step) {
    Eight p[2] = {one, one}, dp[2] = {}, ddp[2] = {}, p0[2] = {}, dp0[2] = {}, ddp0[2] = {};
    for (int i = 0; i < size; ++i) {
      const Eight b = i ? square[i - 1] : Eight{};
      for (int side = 0; side < 2; ++side) {
        const Eight a = side ? x[side] + diagonal[i] : x[side] - diagonal[i];
        const Eight p1 = a * p[side] - b * p0[side], dp1 = p[side] + a * dp[side] - b * dp0[side];
        const Eight ddp1 = 2.0 * dp[side] + a * ddp[side] - b * ddp0[side];
        p0[side] = p[side];
        dp0[side] = dp[side];
        ddp0[side] = ddp[side];
        p[side] = p1;
        dp[side] = dp1;
        ddp[side] = ddp1;
      }
    }
    for (int side = 0; side < 2; ++side) {
      const Longs there = (p[side] > 0.0) & (dp[side] > 0.0) & going[side];
      const Eight inside = (n - 1) * ((n - 1) * dp[side] * dp[side] - n * p[side] * ddp[side]);
      const Eight fall = n * p[side] / (dp[side] + root_of(inside > 0.0 ? inside : Eight{}));
      x[side] = there ? x[side] - fall : x[side];
      going[side] = there & ~((fall < 1e-14) | (x[side] <= 0.0));
    }
  }
  const Eight most = x[0] > x[1] ? x[0] : x[1];
  return most > 0.0 ? most : Eight{};
}

void correlations(const Cells& cells, int n, double* room, double* found) {
  Eight* a = reinterpret_cast<Eight*>(room);
  Eight root[kMostKinds], inverse[kMostKinds], diagonal[kMostKinds], square[kMostKinds], scale;
  std::memcpy(&scale, cells.inverse_total, sizeof scale);
  for (int i = 0; i < n; ++i) {
    Eight margin;
    std::memcpy(&margin, cells.margin[i], sizeof margin);
    root[i] = root_of(margin * scale);
    inverse[i] = 1.0 / root[i];
    // The largest eigenvalue is 1, of the vector of roots: taken away, the second becomes the first.
    for (int j = 0; j <= i; ++j) a[row(i) + j] = -root[i] * root[j];
  }
  const double* factor = reinterpret_cast<const double*>(inverse);
  for (int lane = 0; lane < kLanes; ++lane)
    for (int e = 0; e < cells.count[lane]; ++e) {
      const Cell& cell = cells.cell[lane][e];
      room[(row(cell.i) + cell.j) * kLanes + lane] +=
          cell.weight * cells.inverse_total[lane] * factor[cell.i * kLanes + lane] * factor[cell.j * kLanes + lane];
    }
  reduce(a, n, diagonal, square);
  const Eight most = largest(diagonal, square, n), one = Eight{} + 1;
  const Eight kept = most < one ? most : one;
  std::memcpy(found, &kept, sizeof kept);
}

}  // namespace
}  // namespace fastimg::radiomics::FASTIMG_LEVEL
