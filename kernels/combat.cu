// ComBat: sums in tiles of rows of one batch, a thread a feature, folded in the order of the tiles: no atomics, the
// same bits each time. The correction: a thread a feature, and some rows, four of them under way.
#include "fastimg/combat.cuh"

namespace {

using fastimg::i64;

// partial[tile][slot][feature] = sum over the tile's rows of factor[row][slot] * d^power(slot), d = x - center; the
// last slot holds d * d. `order` lists the rows by batch; it is not read where they lie so. Slots come in groups of 4:
// those of the first `linear` groups have power 1, the others power 0, where NaN counts for nothing. A block reads its
// rows once for a group; the first group sums d * d as well.
template <class T>
__device__ void add(const T* x, const i64* order, int sorted, const i64* first, const int* batch_of,
                    const double* factor, const double* center, i64 features, int groups, int linear, double* partial,
                    int skip) {
  const i64 f = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  if (f >= features) return;
  const i64 tile = blockIdx.y;
  const int group = blockIdx.z;
  const double about = center[batch_of[tile] * features + f];
  const bool is_linear = group < linear;
  double a = 0.0, b = 0.0, c = 0.0, e = 0.0, squares = 0.0;
#pragma unroll 4
  for (i64 i = first[tile]; i < first[tile + 1]; ++i) {
    const i64 row = sorted ? i : order[i];
    const double v = (double)x[row * features + f];
    const bool here = !skip || v == v;
    const double d = here ? v - about : 0.0;
    const double value = is_linear ? d : (here ? 1.0 : 0.0);
    const double* own = factor + (row * groups + group) * 4;
    a += own[0] * value;
    b += own[1] * value;
    c += own[2] * value;
    e += own[3] * value;
    squares += d * d;
  }
  const i64 slots = (i64)groups * 4 + 1;
  double* to = partial + (tile * slots + (i64)group * 4) * features + f;
  to[0] = a;
  to[features] = b;
  to[2 * features] = c;
  to[3 * features] = e;
  if (group == 0) partial[(tile * slots + slots - 1) * features + f] = squares;
}

// total[batch][slot][feature]: the tiles of a batch follow one another.
__device__ void fold(const double* partial, const i64* tiles, i64 width, i64 batches, double* total) {
  const i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= width) return;
  const i64 batch = blockIdx.y;
  double sum = 0.0;
  for (i64 tile = tiles[batch]; tile < tiles[batch + 1]; ++tile) sum += partial[tile * width + at];
  total[batch * width + at] = sum;
}

template <class T>
__device__ void apply(const T* x, T* out, const int* batch, const double* covariates, const double* mean,
                      const double* beta, const double* gamma, const double* alpha, i64 rows, i64 features,
                      int columns) {
  const i64 f = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  if (f >= features) return;
  const double level = mean[f];
  constexpr int kUnderWay = 4;
  const i64 some = (rows + gridDim.y - 1) / gridDim.y, begin = blockIdx.y * some;
  const i64 end = begin + some < rows ? begin + some : rows;
  i64 last = -1;
  double shift = 0.0, scale = 0.0;  // of batch `last`: rows of a batch mostly follow one another
  for (i64 start = begin; start < end; start += kUnderWay) {
    T v[kUnderWay];
    i64 b[kUnderWay];
#pragma unroll
    for (int u = 0; u < kUnderWay; ++u)
      if (start + u < end) {
        v[u] = x[(start + u) * features + f];
        b[u] = batch[start + u];
      }
#pragma unroll
    for (int u = 0; u < kUnderWay; ++u) {
      const i64 row = start + u;
      if (row >= end) break;
      if (b[u] < 0) {
        out[row * features + f] = v[u];
        continue;
      }
      if (b[u] != last) {
        last = b[u];
        shift = gamma[last * features + f];
        scale = alpha[last * features + f];
      }
      double m = level;
      for (int j = 0; j < columns; ++j) {
        const double value = covariates[row * columns + j];
        if (value != 0.0) m += value * beta[j * features + f];
      }
      out[row * features + f] = (T)fastimg::combat_apply((double)v[u], m, shift, scale);
    }
  }
}

}  // namespace

#define FASTIMG_ENTRY(name, T)                                                                                    \
  extern "C" __global__ void add_##name(const T* x, const long long* order, int sorted, const long long* first,   \
                                        const int* batch_of, const double* factor, const double* center,          \
                                        long long features, int groups, int linear, double* partial, int skip) {  \
    add(x, order, sorted, first, batch_of, factor, center, features, groups, linear, partial, skip);              \
  }                                                                                                               \
  extern "C" __global__ void apply_##name(const T* x, T* out, const int* batch, const double* covariates,         \
                                          const double* mean, const double* beta, const double* gamma,            \
                                          const double* alpha, long long rows, long long features, int columns) { \
    apply(x, out, batch, covariates, mean, beta, gamma, alpha, rows, features, columns);                          \
  }
FASTIMG_ENTRY(float32, float)
FASTIMG_ENTRY(float64, double)

extern "C" __global__ void fold_float64(const double* partial, const long long* tiles, long long width,
                                        long long batches, double* total) {
  fold(partial, tiles, width, batches, total);
}
