// B-spline coefficients of a volume, one pole and one axis at a time: kernels/fastimg/bspline.cuh.
#pragma once

#include <cstdint>

#include "resampling/separable.hpp"

namespace fastimg::resampling {

template <class C>
struct Pole {
  C pole, start, end, gain;  // gain multiplies the samples
  int horizon;
  Intake<C> intake{0, C(1), C(0), C(0), C(0)};  // before the gain, along the first axis
};

constexpr std::int64_t kWide = 64;  // lines that are filtered side by side

template <class C>
struct PrefilterTable {
  // `count` <= kWide lines side by side. rows[r]: the r-th of 2 horizon + length samples of each line; out[r]: its
  // coefficients for the `length` inner ones. scratch: (length + 2 horizon) * kWide values.
  void (*down[kKinds])(const void* const* rows, C* const* out, std::int64_t length, std::int64_t count,
                       const Pole<C>& pole, C* scratch);
  // The same along rows: `count` <= kWide rows of n values, `stride` apart; scratch: 2 * n * kWide + the above.
  void (*across)(const C* rows, C* out, std::int64_t stride, std::int64_t n, std::int64_t count, const Pole<C>& pole,
                 C* scratch);
};
FASTIMG_DECLARE_TABLE(PrefilterTable<float>, float_prefilter)
FASTIMG_DECLARE_TABLE(PrefilterTable<double>, double_prefilter)

// out (z, y, x): coefficients of `in` for one pole along z, then y, then x. in == out is allowed when from is C's kind.
template <class C>
void prefilter(const void* in, Kind from, C* out, std::int64_t z, std::int64_t y, std::int64_t x, const Pole<C>& pole,
               int threads);

}  // namespace fastimg::resampling
