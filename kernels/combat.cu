// ComBat: a thread owns a feature and goes through all rows in order, so that sums need no atomics and have the CPU's
// bits; neighbouring threads read neighbouring features. The correction: a thread a value, grid-stride.
#include "fastimg/combat.cuh"

namespace {

using fastimg::i64;

template <class T>
__device__ void add(const T* x, const int* batch, const double* covariates, const double* center, i64 rows,
                    i64 features, int columns, double* y, double* yy, double* cy, double* n, double* c, double* cc,
                    int skip) {
  const i64 f = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  if (f >= features) return;
  for (i64 row = 0; row < rows; ++row) {
    const i64 b = batch[row], at = b * features + f;
    const double v = (double)x[row * features + f];
    if (skip && v != v) continue;
    const double d = v - center[at];
    const double* own = covariates + row * columns;
    y[at] += d;
    yy[at] += d * d;
    for (int j = 0; j < columns; ++j) {
      cy[(b * columns + j) * features + f] += own[j] * d;
      if (!skip) continue;
      c[(b * columns + j) * features + f] += own[j];
      for (int k = 0; k < columns; ++k) cc[((b * columns + j) * columns + k) * features + f] += own[j] * own[k];
    }
    if (skip) n[at] += 1.0;
  }
}

template <class T>
__device__ void apply(const T* x, T* out, const int* batch, const double* covariates, const double* mean,
                      const double* beta, const double* gamma, const double* alpha, i64 rows, i64 features,
                      int columns) {
  const i64 step = (i64)gridDim.x * blockDim.x;
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < rows * features; i += step) {
    const i64 row = i / features, f = i - row * features, b = batch[row];
    if (b < 0) {
      out[i] = x[i];
      continue;
    }
    double m = mean[f];
    for (int j = 0; j < columns; ++j) {
      const double value = covariates[row * columns + j];
      if (value != 0.0) m += value * beta[j * features + f];
    }
    out[i] = (T)fastimg::combat_apply((double)x[i], m, gamma[b * features + f], alpha[b * features + f]);
  }
}

}  // namespace

#define FASTIMG_ENTRY(name, T)                                                                                        \
  extern "C" __global__ void add_##name(const T* x, const int* batch, const double* covariates, const double* center, \
                                        long long rows, long long features, int columns, double* y, double* yy,       \
                                        double* cy, double* n, double* c, double* cc, int skip) {                     \
    add(x, batch, covariates, center, rows, features, columns, y, yy, cy, n, c, cc, skip);                            \
  }                                                                                                                   \
  extern "C" __global__ void apply_##name(const T* x, T* out, const int* batch, const double* covariates,             \
                                          const double* mean, const double* beta, const double* gamma,                \
                                          const double* alpha, long long rows, long long features, int columns) {     \
    apply(x, out, batch, covariates, mean, beta, gamma, alpha, rows, features, columns);                              \
  }
FASTIMG_ENTRY(float32, float)
FASTIMG_ENTRY(float64, double)
