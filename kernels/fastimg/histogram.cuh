// In which bin a value falls. Every atom gives an index; the loops count.
//
// Fixed bins over a public range: index = 1 + floor((x - low) * scale), scale = bins / (high - low), in float64; 0
// below the range, bins + 1 above it, bins + 2 for NaN and infinities; x == high belongs to the last bin. Adaptive
// bins: floor(x / 2^e) - base, exact, since a division by a power of two is. Cost: 2-8 operations a value.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

// floor for |t| < 2^51 in additions alone (SSE2 has no rounding instruction): the sum rounds to a whole number.
FASTIMG_ATOM double small_floor(double t) {
  const double whole = (t + 6755399441055744.0) - 6755399441055744.0;
  return whole > t ? whole - 1.0 : whole;
}

FASTIMG_ATOM bool is_finite(double x) { return x - x == 0.0; }

FASTIMG_ATOM u32 fixed_bin(double x, double low, double high, double scale, int bins) {
  double t = (x - low) * scale;
  t = t < bins - 1 ? t : bins - 1;  // also NaN; low <= x <= high gives t >= 0
  t = t > 0.0 ? t : 0.0;
  u32 index = 1 + (u32)(int)t;
  index = x < low ? 0 : index;
  index = x > high ? (u32)(bins + 1) : index;
  return is_finite(x) ? index : (u32)(bins + 2);
}

// The same with borders of the value's own kind, `least` and `most` the outermost ones inside the range: one conversion
// and two operations in float64 where the other has nine. For a GPU, where these are what a value costs.
template <class B>
FASTIMG_ATOM u32 fixed_bin_between(B x, B least, B most, double low, double scale, int bins) {
  const bool inside = x >= least && x <= most;
  int index = (int)(inside ? ((double)x - low) * scale : 0.0);
  index = index < bins - 1 ? index : bins - 1;
  const int outside = x < least ? 0 : bins + 1;
  index = inside ? index + 1 : outside;
  return x - x == B(0) ? (u32)index : (u32)(bins + 2);
}

// The caller knows that base <= floor(x * inverse) < base + bins for every finite x; others go to `bins`.
FASTIMG_ATOM u32 power_bin(double x, double inverse, double base, int bins) {
  const double finite = is_finite(x) ? x : 0.0, scaled = finite * inverse;
  const double t =
      small_floor(scaled == 0.0 ? finite : scaled) - base;  // a product too small for a number keeps its side
  return is_finite(x) ? (u32)(int)t : (u32)bins;
}

// The bits of a float as an integer of the same order (IEEE 754, total order).
FASTIMG_ATOM u32 ordered(u32 bits) { return bits ^ ((u32)((i32)bits >> 31) | 0x80000000u); }
FASTIMG_ATOM u64 ordered(u64 bits) { return bits ^ ((u64)((i64)bits >> 63) | 0x8000000000000000ull); }

}  // namespace fastimg
