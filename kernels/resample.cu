// Separable interpolation and nearest neighbour on an axis-aligned grid: one thread a voxel, tables made on the host.
//
// A volume's neighbours come from the caches; the order of operations is that of the CPU's row loops, so the bits are
// the same. Geometry, for each axis z, y, x: in, out, low, high, linear, taps (csrc/resampling/separable.hpp).
#include "fastimg/entries.cuh"
#include "fastimg/interpolate.cuh"

namespace {

using fastimg::i64;

struct Axis {
  i64 in, out, low, high, linear, taps;
};

__device__ Axis axis_of(const i64* geometry, int axis) {
  const i64* g = geometry + 6 * axis;
  return {g[0], g[1], g[2], g[3], g[4], g[5]};
}

// One axis: `at(i)` is the value at input index i.
template <class C, class At>
__device__ C along(const Axis& axis, const int* first, const C* weight, i64 o, At at) {
  const i64 f = first[o];
  if (axis.linear) {
    const C w = weight[o];
    const C a = at(f);
    return w == C(0) ? a : fastimg::lerp(a, at(f + 1), w);
  }
  C sum = weight[o] * at(f);
  for (i64 t = 1; t < axis.taps; ++t) sum = fastimg::weigh(sum, weight[t * axis.out + o], at(f + t));
  return sum;
}

template <class T, class U, class C, bool truncate>
__device__ void separable_each(const T* in, U* out, i64 volumes, const i64* geometry, const int* first_z,
                               const int* first_y, const int* first_x, const C* weight_z, const C* weight_y,
                               const C* weight_x, U outside) {
  const Axis z = axis_of(geometry, 0), y = axis_of(geometry, 1), x = axis_of(geometry, 2);
  const i64 plane = y.out * x.out, count = volumes * z.out * plane, step = (i64)gridDim.x * blockDim.x;
  for (i64 n = (i64)blockIdx.x * blockDim.x + threadIdx.x; n < count; n += step) {
    const i64 i = n % x.out, j = n / x.out % y.out, k = n / plane % z.out;
    if (k < z.low || k >= z.high || j < y.low || j >= y.high || i < x.low || i >= x.high) {
      out[n] = outside;
      continue;
    }
    const T* volume = in + n / plane / z.out * z.in * y.in * x.in;
    const auto at_z = [&](i64 zi) {
      const auto at_x = [&](i64 xi) {
        return along<C>(y, first_y, weight_y, j, [&](i64 yi) { return (C)volume[(zi * y.in + yi) * x.in + xi]; });
      };
      return along<C>(x, first_x, weight_x, i, at_x);
    };
    out[n] = fastimg::Store<truncate, U>::from(along<C>(z, first_z, weight_z, k, at_z));
  }
}

// Voxels are moved as unsigned numbers of their size.
template <class T>
__device__ void nearest_each(const T* in, T* out, i64 volumes, const i64* geometry, const int* index_z,
                             const int* index_y, const int* index_x, T outside) {
  const Axis z = axis_of(geometry, 0), y = axis_of(geometry, 1), x = axis_of(geometry, 2);
  const i64 plane = y.out * x.out, count = volumes * z.out * plane, step = (i64)gridDim.x * blockDim.x;
  for (i64 n = (i64)blockIdx.x * blockDim.x + threadIdx.x; n < count; n += step) {
    const i64 i = n % x.out, j = n / x.out % y.out, k = n / plane % z.out;
    const bool inside = k >= z.low && k < z.high && j >= y.low && j < y.high && i >= x.low && i < x.high;
    const T* volume = in + n / plane / z.out * z.in * y.in * x.in;
    out[n] = inside ? volume[((i64)index_z[k] * y.in + index_y[j]) * x.in + index_x[i]] : outside;
  }
}

}  // namespace

#define FASTIMG_SEPARABLE(name, T, U, C, truncate)                                                                   \
  FASTIMG_WANTED(                                                                                                    \
      separable_##name,                                                                                              \
      extern "C" __global__ void separable_##name(                                                                   \
          const T* in, U* out, long long volumes, const long long* geometry, const int* first_z, const int* first_y, \
          const int* first_x, const C* weight_z, const C* weight_y, const C* weight_x, U outside) {                  \
        separable_each<T, U, C, truncate>(in, out, volumes, geometry, first_z, first_y, first_x, weight_z, weight_y, \
                                          weight_x, outside);                                                        \
      })
// Names: input, output, arithmetic; _truncate rounds towards zero.
#define FASTIMG_SMALL(name, T)                                        \
  FASTIMG_SEPARABLE(name##_##name##_float32, T, T, float, false)      \
  FASTIMG_SEPARABLE(name##_float32_float32, T, float, float, false)   \
  FASTIMG_SEPARABLE(float32_##name##_float32, float, T, float, false) \
  FASTIMG_WIDE(name, T)
#define FASTIMG_WIDE(name, T)                                             \
  FASTIMG_SEPARABLE(name##_float64_float64, T, double, double, false)     \
  FASTIMG_SEPARABLE(name##_##name##_float64, T, T, double, false)         \
  FASTIMG_SEPARABLE(float64_##name##_float64, double, T, double, false)   \
  FASTIMG_SEPARABLE(name##_##name##_float64_truncate, T, T, double, true) \
  FASTIMG_SEPARABLE(float64_##name##_float64_truncate, double, T, double, true)
FASTIMG_SMALL(int8, signed char)
FASTIMG_SMALL(uint8, unsigned char)
FASTIMG_SMALL(int16, short)
FASTIMG_SMALL(uint16, unsigned short)
FASTIMG_WIDE(int32, int)
FASTIMG_WIDE(uint32, unsigned int)
FASTIMG_WIDE(int64, long long)
FASTIMG_WIDE(uint64, unsigned long long)
FASTIMG_SEPARABLE(float32_float32_float32, float, float, float, false)
FASTIMG_SEPARABLE(float64_float64_float64, double, double, double, false)

#define FASTIMG_NEAREST(name, T)                                                                                     \
  extern "C" __global__ void nearest_##name(const T* in, T* out, long long volumes, const long long* geometry,       \
                                            const int* index_z, const int* index_y, const int* index_x, T outside) { \
    nearest_each(in, out, volumes, geometry, index_z, index_y, index_x, outside);                                    \
  }
FASTIMG_NEAREST(uint8, unsigned char)
FASTIMG_NEAREST(uint16, unsigned short)
FASTIMG_NEAREST(uint32, unsigned int)
FASTIMG_NEAREST(uint64, unsigned long long)
