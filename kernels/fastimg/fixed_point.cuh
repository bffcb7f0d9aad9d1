// A real number as a whole number of steps, in two's complement:
//
//     q = round_half_even(clip(x * scale, -limit, limit)),   scale = limit / clip,   limit = 2^(bits-1) - 1,   bits <=
//     52
//
// The rounding is done by adding 1.5 * 2^52, whose last place is 1: exact for |q| <= 2^51 in the default rounding mode.
// Cost: 1 multiplication, 2 selections, 1 addition, 1 subtraction a value; stochastic 4 additions and 2 selections
// more.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

constexpr double kRounder = 6755399441055744.0;  // 1.5 * 2^52
constexpr i64 kRounderBits = 0x4338000000000000LL;

// Without the clipping: for |x * scale| <= 2^51.
FASTIMG_ATOM i64 round_steps(double v) {
  union {
    double real;
    i64 bits;
  } sum;
  sum.real = v + kRounder;
  return sum.bits - kRounderBits;
}

FASTIMG_ATOM i64 fixed_point_inside(double x, double scale) { return round_steps(x * scale); }

FASTIMG_ATOM i64 fixed_point(double x, double scale, double limit) {
  double v = x * scale;
  v = v < -limit ? -limit : v;
  v = v > limit ? limit : v;
  return round_steps(v);
}

// Rounded up with the probability of the part above the next lower step, which is exact in binary: the expectation is
// within 2^-32 of a step of the clipped value. `random`: 32 uniform bits.
FASTIMG_ATOM i64 fixed_point_stochastic(double x, double scale, double limit, u32 random) {
  double v = x * scale;
  v = v < -limit ? -limit : v;
  v = v > limit ? limit : v;
  const double near = (v + kRounder) - kRounder;
  const double below = near > v ? near - 1.0 : near;
  const double up = (double)random * 2.3283064365386963e-10 < v - below ? 1.0 : 0.0;  // 2^-32
  return round_steps(below + up);
}

// Not NaN and not infinite.
FASTIMG_ATOM bool is_finite(double x) { return x - x == 0.0; }

}  // namespace fastimg
