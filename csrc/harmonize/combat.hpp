// ComBat's two passes over subjects x features: sums about a centre, and the correction. Atom:
// kernels/fastimg/combat.cuh.
#pragma once

#include <cstdint>

#include "cpu/pool.hpp"

namespace fastimg::harmonize {

// x: rows x features. batch: rows, in [0, batches). covariates: rows x columns. center: batches x features.
// Adds, for d = x - center[batch]: y (batches x features) += d, yy += d * d, cy (batches x columns x features) += c *
// d. With `skip_nan`, NaN adds nothing, and n (batches x features), c (batches x columns x features) and cc (batches x
// columns x columns x features) count what did; these three are null otherwise.
struct CombatSums {
  double *y, *yy, *cy, *n, *c, *cc;
};
struct CombatShape {
  std::int64_t rows, features;
  int batches, columns;
};

template <class T>
using CombatAddTile = void (*)(const T* x, const std::int64_t* order, const std::int32_t* batch,
                               const double* covariates, const double* center, const CombatShape& shape,
                               const CombatSums& sums, std::int64_t begin, std::int64_t end);
template <class T>
using CombatApplyRows = void (*)(const T* x, T* out, const std::int32_t* batch, const double* covariates,
                                 const double* mean, const double* beta, const double* gamma, const double* alpha,
                                 const CombatShape& shape, std::int64_t begin, std::int64_t end);

struct CombatTable {
  CombatAddTile<float> add_f32;
  CombatAddTile<double> add_f64;
  CombatApplyRows<float> apply_f32;
  CombatApplyRows<double> apply_f64;
};
FASTIMG_DECLARE_TABLE(CombatTable, combat_table)

// A thread owns a tile of features and goes through all rows in `order`: the same bits on any number of threads. Rows
// sorted stably by batch keep one batch's sums in the first-level cache, and each sum's order as it is.
template <class T>
void combat_add(const T* x, const std::int64_t* order, const std::int32_t* batch, const double* covariates,
                const double* center, const CombatShape& shape, const CombatSums& sums, int threads);

// mean: features; beta: columns x features; gamma, alpha: batches x features. A row whose batch is negative is copied.
template <class T>
void combat_apply(const T* x, T* out, const std::int32_t* batch, const double* covariates, const double* mean,
                  const double* beta, const double* gamma, const double* alpha, const CombatShape& shape, int threads);

}  // namespace fastimg::harmonize
