// Interpolation between samples, and the conversion of its result to the voxel's type.
//
// On an axis-aligned grid samples are combined along y, then x, then z (a source plane is interpolated once and serves
// all output planes beside it); on a turned one along z, then y, then x. The order of operations is the one written
// here on CPU and GPU, so the bits agree. C is the type of the arithmetic: float for voxels of 8 or 16 bits and
// float32, double for the others.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

// Sizes of the source and of the result along one axis of a grid; outputs [low, high) lie inside.
struct Line {
  int in, out, low, high;
  FASTIMG_MEMBER bool within(int o) const { return o >= low && o < high; }
};

// Linear: a + w (b - a), Press et al. form; keeps a constant exactly. w = 0 gives a, so that a sample beside NaN or
// infinity stays itself. Cost: 3 operations, 1 selection.
template <class C>
FASTIMG_ATOM C lerp(C a, C b, C w) {
  return w == C(0) ? a : a + w * (b - a);
}

// A voxel as a number of type C plus `bias`; what is kept of it until then is `raw`. Conversions of small integers run
// at an eighth of an addition's rate on a GPU: there their bits are put into a float of 2^23 or more, whose spacing
// is 1. Differences need no more.
template <class C, class T>
struct Lifted {
  using Raw = T;
  static constexpr C bias = C(0);
  FASTIMG_ATOM Raw raw(T v) { return v; }
  FASTIMG_ATOM C of(Raw v) { return (C)v; }
};
#ifdef __CUDA_ARCH__
#define FASTIMG_LIFTED(T, U, half)                                                           \
  template <>                                                                                \
  struct Lifted<float, T> {                                                                  \
    using Raw = u32;                                                                         \
    static constexpr float bias = 8388608.0f + half;                                         \
    FASTIMG_ATOM Raw raw(T v) { return (U)v; }                                               \
    FASTIMG_ATOM float of(Raw v) { return __int_as_float((int)(v ^ (0x4b000000u | half))); } \
  };
FASTIMG_LIFTED(i8, u8, 0x80)
FASTIMG_LIFTED(u8, u8, 0)
FASTIMG_LIFTED(i16, u16, 0x8000)
FASTIMG_LIFTED(u16, u16, 0)
#undef FASTIMG_LIFTED
#endif

// One step of a weighted sum; sums run from the first tap to the last.
template <class C>
FASTIMG_ATOM C weigh(C sum, C weight, C value) {
  return sum + weight * value;
}

// What a fused plan does with a sample before it is combined: stored value to units, then a window's limits (NaN
// stays).
template <class C>
struct Intake {
  int on;
  C slope, intercept, low, high;
};
template <class C>
FASTIMG_ATOM C taken(C v, const Intake<C>& t) {
  v = v * t.slope + t.intercept;
  v = v < t.low ? t.low : v;
  return v > t.high ? t.high : v;
}

// And with the result: (v - shift) * scale, as fastimg/affine.cuh.
template <class C>
struct Finish {
  int on;
  C shift, scale;
};
template <class C>
FASTIMG_ATOM C finished(C v, const Finish<C>& f) {
  return (v - f.shift) * f.scale;
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
#ifdef __CUDA_ARCH__
  // As above for voxels of 8 or 16 bits: they are the low bits of the sum that rounds (a conversion runs at an eighth
  // of an addition's rate).
  FASTIMG_ATOM T from(float v) {
    v = v < float(Range<T>::low) ? float(Range<T>::low) : v;
    v = v > float(Range<T>::high) ? float(Range<T>::high) : v;
    return truncate ? (T)v : (T)__float_as_int(v + 12582912.0f);
  }
#endif
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
