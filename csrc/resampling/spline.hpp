// B-splines on an aligned grid: along each axis samples become coefficients (kernels/fastimg/bspline.cuh) and these the
// axis's outputs, before the next axis begins.
#pragma once

#include <cstdint>
#include <vector>

#include "resampling/separable.hpp"

namespace fastimg::resampling {

template <class C>
struct Poles {
  int count;  // 1 or 2; one after the other
  C pole[2], start[2], end[2];
  int horizon[2];
  int reach() const { return horizon[0] + (count > 1 ? horizon[1] : 0); }
};

constexpr std::int64_t kWide = 64;  // lines that are filtered side by side

// What will be read next, fetched meanwhile: cache lines from `from` on; or, where that is null, the rows further on.
struct Ahead {
  const char* from;
  std::int64_t lines;
};

template <class C>
struct SplineTable {
  // Coefficients of `count` <= kWide lines side by side: samples `at` to at + count of each of `total` rows, to rows
  // `stride` apart; those of the first and last `reach` rows are not finished.
  void (*filter[kKinds])(const void* const* rows, std::int64_t at, std::int64_t total, std::int64_t count,
                         const Poles<C>& poles, const Intake<C>& intake, C* to, std::int64_t stride, Ahead ahead);
  // to[c][r] = from[r][c]; `past` the caches where whole cache lines are written
  void (*turn)(const C* from, std::int64_t from_stride, C* to, std::int64_t to_stride, std::int64_t rows,
               std::int64_t columns, bool past);
};
FASTIMG_DECLARE_TABLE(SplineTable<float>, float_spline)
FASTIMG_DECLARE_TABLE(SplineTable<double>, double_spline)

// An axis with the outputs [begin, end) whose first tap lies in each block; throws where they are not in order.
template <class C>
struct SplineAxis : Axis<C> {
  std::vector<std::int64_t> begin, end;
  explicit SplineAxis(Axis<C> axis);
};

// The axes of a volume and whether z comes before y and x; else after.
template <class C>
struct Spline {
  SplineAxis<C> z, y, x;
  Poles<C> poles;
  bool z_first;
  std::int64_t row() const { return ((z_first ? x.in : x.out) + kBlock - 1) / kBlock * kBlock; }
  // Values of memory between both steps.
  std::int64_t between() const { return (z_first ? z.out * y.in : y.out * z.in) * row() + kBlock; }
};

// in (z.in, y.in, x.in) of kind `from`, out (z.out, y.out, x.out) of kind `to`; between: that many values.
template <class C>
void spline(const void* in, Kind from, void* out, Kind to, const Spline<C>& plan, const Fused<C>& fused, bool truncate,
            const void* outside, C* between, int threads);

// Outputs that are the samples' own coefficients: out is of the arithmetic's type, nothing stands between.
template <class C>
void coefficients(const void* in, Kind from, C* out, const Spline<C>& plan, const Intake<C>& intake, int threads);

}  // namespace fastimg::resampling
