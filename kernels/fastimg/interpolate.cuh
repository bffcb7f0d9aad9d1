// Interpolation between samples, and the conversion of its result to the voxel's type.
//
// Every path combines along z, then y, then x, in the order written here; so the CPU's row loops and the GPU's loop
// over voxels do the same operations and give the same bits. C is the type of the arithmetic: float for voxels of 8 or
// 16 bits and float32, double for the others.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

// Linear: a + w (b - a), Press et al. form; keeps a constant exactly. w = 0 gives a, so that a sample beside NaN or
// infinity stays itself. Cost: 3 operations, 1 selection.
template <class C>
FASTIMG_ATOM C lerp(C a, C b, C w) {
  return w == C(0) ? a : a + w * (b - a);
}

// One step of a weighted sum; sums run from the first tap to the last.
template <class C>
FASTIMG_ATOM C weigh(C sum, C weight, C value) {
  return sum + weight * value;
}

// The range of a type, in values that float or double hold exactly.
template <class T>
struct Range;
template <>
struct Range<i8> {
  static constexpr double low = -128, high = 127;
};
template <>
struct Range<u8> {
  static constexpr double low = 0, high = 255;
};
template <>
struct Range<i16> {
  static constexpr double low = -32768, high = 32767;
};
template <>
struct Range<u16> {
  static constexpr double low = 0, high = 65535;
};
template <>
struct Range<i32> {
  static constexpr double low = -2147483648.0, high = 2147483647.0;
};
template <>
struct Range<u32> {
  static constexpr double low = 0, high = 4294967295.0;
};
template <>
struct Range<i64> {
  static constexpr double low = -9223372036854775808.0, high = 9223372036854774784.0;
};
template <>
struct Range<u64> {
  static constexpr double low = 0, high = 18446744073709549568.0;
};

// To the nearest whole number, halves to even. The float form serves |v| < 2^22, the double form any value.
FASTIMG_ATOM float whole(float v) { return (v + 12582912.0f) - 12582912.0f; }
FASTIMG_ATOM double whole(double v) {
  const double big = 4503599627370496.0;  // 2^52: from here on every double is whole
  const double up = (v + big) - big, down = (v - big) + big;
  const double r = v < 0 ? down : up;
  return v >= big || v <= -big ? v : r;
}

template <bool truncate, class T>
struct Store {  // integers: saturate, then round to nearest or towards zero
  template <class C>
  FASTIMG_ATOM T from(C v) {
    v = v < C(Range<T>::low) ? C(Range<T>::low) : v;
    v = v > C(Range<T>::high) ? C(Range<T>::high) : v;
    return (T)(truncate ? v : whole(v));
  }
};
template <bool truncate>
struct Store<truncate, float> {
  template <class C>
  FASTIMG_ATOM float from(C v) {
    return (float)v;
  }
};
template <bool truncate>
struct Store<truncate, double> {
  template <class C>
  FASTIMG_ATOM double from(C v) {
    return (double)v;
  }
};

}  // namespace fastimg
