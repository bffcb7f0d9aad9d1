// Included once in each level's region: no include guard, no standard header.
#include "fastimg/combat.cuh"

namespace fastimg::harmonize::FASTIMG_LEVEL {
namespace {

constexpr int kTile = 256;  // features at once: the sums of a batch fit the first-level cache

template <class T>
void combat_add_tile(const T* x, const std::int64_t* order, const std::int32_t* batch, const double* covariates,
                     const double* center, const CombatShape& shape, const CombatSums& sums, std::int64_t begin,
                     std::int64_t end) {
  const std::int64_t p = shape.features;
  const int q = shape.columns;
  for (std::int64_t from = begin; from < end; from += kTile) {
    const int n = static_cast<int>(end - from < kTile ? end - from : kTile);
    alignas(64) double d[kTile], w[kTile];
    for (std::int64_t i = 0; i < shape.rows; ++i) {
      const std::int64_t row = order[i];
      const std::int64_t b = batch[row];
      const T* __restrict in = x + row * p + from;
      const double* __restrict about = center + b * p + from;
      double* __restrict y = sums.y + b * p + from;
      double* __restrict yy = sums.yy + b * p + from;
      const double* c = covariates + row * q;
      if (sums.n) {
        double* __restrict number = sums.n + b * p + from;
        for (int i = 0; i < n; ++i) {
          const double v = static_cast<double>(in[i]);
          const bool here = v == v;
          w[i] = here ? 1.0 : 0.0;
          d[i] = here ? v - about[i] : 0.0;
          number[i] += w[i];
        }
        for (int j = 0; j < q; ++j) {
          double* __restrict cj = sums.c + (b * q + j) * p + from;
          for (int i = 0; i < n; ++i) cj[i] += c[j] * w[i];
          for (int k = 0; k < q; ++k) {
            double* __restrict cc = sums.cc + ((b * q + j) * q + k) * p + from;
            const double product = c[j] * c[k];
            for (int i = 0; i < n; ++i) cc[i] += product * w[i];
          }
        }
      } else {
        for (int i = 0; i < n; ++i) d[i] = static_cast<double>(in[i]) - about[i];
      }
      for (int i = 0; i < n; ++i) {
        y[i] += d[i];
        yy[i] += d[i] * d[i];
      }
      for (int j = 0; j < q; ++j) {
        const double value = c[j];
        if (value == 0.0) continue;  // indicators are mostly zero
        double* __restrict cy = sums.cy + (b * q + j) * p + from;
        for (int i = 0; i < n; ++i) cy[i] += value * d[i];
      }
    }
  }
}

template <class T>
void combat_apply_rows(const T* x, T* out, const std::int32_t* batch, const double* covariates, const double* mean,
                       const double* beta, const double* gamma, const double* alpha, const CombatShape& shape,
                       std::int64_t begin, std::int64_t end) {
  const std::int64_t p = shape.features;
  const int q = shape.columns;
  alignas(64) double m[kTile];
  for (std::int64_t row = begin; row < end; ++row)
    for (std::int64_t from = 0; from < p; from += kTile) {
      const int n = static_cast<int>(p - from < kTile ? p - from : kTile);
      const T* __restrict in = x + row * p + from;
      T* __restrict to = out + row * p + from;
      const std::int64_t b = batch[row];
      if (b < 0) {
        for (int i = 0; i < n; ++i) to[i] = in[i];
        continue;
      }
      for (int i = 0; i < n; ++i) m[i] = mean[from + i];
      for (int j = 0; j < q; ++j) {
        const double value = covariates[row * q + j];
        if (value == 0.0) continue;
        const double* __restrict slope = beta + j * p + from;
        for (int i = 0; i < n; ++i) m[i] += value * slope[i];
      }
      const double* __restrict g = gamma + b * p + from;
      const double* __restrict a = alpha + b * p + from;
      for (int i = 0; i < n; ++i)
        to[i] = static_cast<T>(fastimg::combat_apply(static_cast<double>(in[i]), m[i], g[i], a[i]));
    }
}

}  // namespace

extern const CombatTable combat_table;
const CombatTable combat_table = {
    combat_add_tile<float>,
    combat_add_tile<double>,
    combat_apply_rows<float>,
    combat_apply_rows<double>,
};

}  // namespace fastimg::harmonize::FASTIMG_LEVEL
