// Interpolation on any affine grid, one thread a voxel: kernels/fastimg/oblique.cuh. Sizes: in z, y, x, out z, y, x.
#include "fastimg/entries.cuh"
#include "fastimg/oblique.cuh"

namespace {

using fastimg::i64;

template <class C>
struct Spot {
  int z, y, x;
  C wz, wy, wx;
  bool inside;
};

// The position of target voxel (k, j, i); a row's blocks of 16 start where the CPU's do.
template <class C>
__device__ Spot<C> spot_at(const double* m, const i64* size, i64 k, i64 j, i64 i, bool edge) {
  Spot<C> s;
  const C lane = (C)(i % fastimg::kLanes);
  const double first = (double)(i - i % fastimg::kLanes);
  fastimg::lane_position(fastimg::block_start<C>(m, (double)k, (double)j, first), lane, (C)m[2], s.z, s.wz);
  fastimg::lane_position(fastimg::block_start<C>(m + 4, (double)k, (double)j, first), lane, (C)m[6], s.y, s.wy);
  fastimg::lane_position(fastimg::block_start<C>(m + 8, (double)k, (double)j, first), lane, (C)m[10], s.x, s.wx);
  s.inside = edge || (fastimg::inside(s.z, s.wz, (int)size[0]) && fastimg::inside(s.y, s.wy, (int)size[1]) &&
                      fastimg::inside(s.x, s.wx, (int)size[2]));
  return s;
}

template <int D, class T, class U, class C, bool truncate>
__device__ void oblique_each(const T* in, U* out, i64 volumes, const i64* size, const double* m, int edge, U outside) {
  const fastimg::Box n = {size[0], size[1], size[2]};
  const i64 plane = size[4] * size[5], count = volumes * size[3] * plane, step = (i64)gridDim.x * blockDim.x;
  for (i64 v = (i64)blockIdx.x * blockDim.x + threadIdx.x; v < count; v += step) {
    const i64 i = v % size[5], j = v / size[5] % size[4], k = v / plane % size[3];
    const Spot<C> s = spot_at<C>(m, size, k, j, i, edge);
    const T* volume = in + v / plane / size[3] * n.z * n.y * n.x;
    out[v] = outside;
    if (s.inside)
      out[v] = fastimg::Store<truncate, U>::from(fastimg::sample_at<D, C>(volume, fastimg::Intake<C>{}, n, s.z, s.y, s.x, s.wz, s.wy, s.wx));
  }
}

template <class T>
__device__ void nearest_each(const T* in, T* out, i64 volumes, const i64* size, const double* m, int edge, T outside) {
  const i64 plane = size[4] * size[5], count = volumes * size[3] * plane, step = (i64)gridDim.x * blockDim.x;
  for (i64 v = (i64)blockIdx.x * blockDim.x + threadIdx.x; v < count; v += step) {
    const i64 i = v % size[5], j = v / size[5] % size[4], k = v / plane % size[3];
    const Spot<double> s = spot_at<double>(m, size, k, j, i, edge);
    const i64 z = fastimg::clamped(s.z + (s.wz >= 0.5 ? 1 : 0), (int)size[0]);
    const i64 y = fastimg::clamped(s.y + (s.wy >= 0.5 ? 1 : 0), (int)size[1]);
    const i64 x = fastimg::clamped(s.x + (s.wx >= 0.5 ? 1 : 0), (int)size[2]);
    const i64 volume = v / plane / size[3] * size[0];
    out[v] = s.inside ? in[((volume + z) * size[1] + y) * size[2] + x] : outside;
  }
}

}  // namespace

// Names: degree, input, output, arithmetic; _truncate rounds towards zero. Degrees 2 to 5 read coefficients.
#define FASTIMG_OBLIQUE(degree, name, T, U, C, truncate)                                                              \
  FASTIMG_WANTED(                                                                                                     \
      oblique_##degree##_##name,                                                                                      \
      extern "C" __global__ void oblique_##degree##_##name(                                                           \
          const T* in, U* out, long long volumes, const long long* size, const double* matrix, int edge, U outside) { \
        oblique_each<degree, T, U, C, truncate>(in, out, volumes, size, matrix, edge, outside);                       \
      })
#define FASTIMG_SPLINES(name, T, U, C, truncate) \
  FASTIMG_OBLIQUE(1, name, T, U, C, truncate)    \
  FASTIMG_OBLIQUE(2, name, T, U, C, truncate)    \
  FASTIMG_OBLIQUE(3, name, T, U, C, truncate)    \
  FASTIMG_OBLIQUE(4, name, T, U, C, truncate)    \
  FASTIMG_OBLIQUE(5, name, T, U, C, truncate)
#define FASTIMG_WIDE(name, T)                                              \
  FASTIMG_OBLIQUE(1, name##_##name##_float64, T, T, double, false)         \
  FASTIMG_OBLIQUE(1, name##_##name##_float64_truncate, T, T, double, true) \
  FASTIMG_SPLINES(float64_##name##_float64, double, T, double, false)      \
  FASTIMG_SPLINES(float64_##name##_float64_truncate, double, T, double, true)
#define FASTIMG_SMALL(name, T)                                       \
  FASTIMG_OBLIQUE(1, name##_##name##_float32, T, T, float, false)    \
  FASTIMG_OBLIQUE(1, name##_float32_float32, T, float, float, false) \
  FASTIMG_SPLINES(float32_##name##_float32, float, T, float, false)  \
  FASTIMG_WIDE(name, T)
FASTIMG_SMALL(int8, signed char)
FASTIMG_SMALL(uint8, unsigned char)
FASTIMG_SMALL(int16, short)
FASTIMG_SMALL(uint16, unsigned short)
FASTIMG_WIDE(int32, int)
FASTIMG_WIDE(uint32, unsigned int)
FASTIMG_WIDE(int64, long long)
FASTIMG_WIDE(uint64, unsigned long long)
FASTIMG_SPLINES(float32_float32_float32, float, float, float, false)
FASTIMG_SPLINES(float64_float64_float64, double, double, double, false)

#define FASTIMG_NEAREST(name, T)                                                                                   \
  extern "C" __global__ void oblique_nearest_##name(const T* in, T* out, long long volumes, const long long* size, \
                                                    const double* matrix, int edge, T outside) {                   \
    nearest_each(in, out, volumes, size, matrix, edge, outside);                                                   \
  }
FASTIMG_NEAREST(uint8, unsigned char)
FASTIMG_NEAREST(uint16, unsigned short)
FASTIMG_NEAREST(uint32, unsigned int)
FASTIMG_NEAREST(uint64, unsigned long long)
