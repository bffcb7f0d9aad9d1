// Interpolation on any affine grid, with displacements where they are given: kernels/fastimg/oblique.cuh. A warp takes
// a row, so that neighbours read neighbouring cached samples. Sizes: in z, y, x, out z, y, x.
#include "fastimg/entries.cuh"
#include "fastimg/oblique.cuh"

namespace {

using fastimg::i64;

struct Grid {
  const i64* size;
  const double* m;    // 3 x 4, then the source's inverse affine, 3 x 3
  const void* field;  // (x, y, z) mm of each output: float (kind 1) or double (2); kind 0: none
  int kind, edge;
};

template <class C>
struct Spot {
  int z, y, x;
  C wz, wy, wx;
  bool inside;
};

// The position of target voxel (k, j, i), the n-th of its volume; a row's blocks of 16 start where the CPU's do.
template <class C>
__device__ Spot<C> spot_at(const Grid& g, i64 n, i64 k, i64 j, i64 i) {
  Spot<C> s;
  const double* const m = g.m;
  if (g.kind) {
    const float* const narrow = (const float*)g.field + 3 * n;
    const double* const wide = (const double*)g.field + 3 * n;
    const double dx = g.kind == 2 ? wide[0] : narrow[0], dy = g.kind == 2 ? wide[1] : narrow[1],
                 dz = g.kind == 2 ? wide[2] : narrow[2];
    fastimg::displaced_position(m, m + 12, (double)k, (double)j, (double)i, dx, dy, dz, s.z, s.wz);
    fastimg::displaced_position(m + 4, m + 15, (double)k, (double)j, (double)i, dx, dy, dz, s.y, s.wy);
    fastimg::displaced_position(m + 8, m + 18, (double)k, (double)j, (double)i, dx, dy, dz, s.x, s.wx);
  } else {
    const C lane = (C)(i % fastimg::kLanes);
    const double first = (double)(i - i % fastimg::kLanes);
    fastimg::lane_position(fastimg::block_start<C>(m, (double)k, (double)j, first), lane, (C)m[2], s.z, s.wz);
    fastimg::lane_position(fastimg::block_start<C>(m + 4, (double)k, (double)j, first), lane, (C)m[6], s.y, s.wy);
    fastimg::lane_position(fastimg::block_start<C>(m + 8, (double)k, (double)j, first), lane, (C)m[10], s.x, s.wx);
  }
  s.inside = g.edge || (fastimg::inside(s.z, s.wz, (int)g.size[0]) && fastimg::inside(s.y, s.wy, (int)g.size[1]) &&
                        fastimg::inside(s.x, s.wx, (int)g.size[2]));
  return s;
}

// f(place, volume of the source, spot) for all voxels.
template <class C, class F>
__device__ void each_spot(i64 volumes, const Grid& g, F f) {
  const i64 depth = g.size[3], height = g.size[4], width = g.size[5], lanes = 32;
  const i64 source = g.size[0] * g.size[1] * g.size[2], warps = (i64)gridDim.x * (blockDim.x / lanes);
  for (i64 row = (i64)blockIdx.x * (blockDim.x / lanes) + threadIdx.x / lanes; row < volumes * depth * height;
       row += warps) {
    const i64 j = row % height, k = row / height % depth, volume = row / height / depth;
    for (i64 i = threadIdx.x % lanes; i < width; i += lanes)
      f(row * width + i, volume * source, spot_at<C>(g, (k * height + j) * width + i, k, j, i));
  }
}

template <int D, class T, class U, class C, bool truncate>
__device__ void oblique_each(const T* in, U* out, i64 volumes, const Grid& g, U outside, fastimg::Intake<C> intake,
                             fastimg::Finish<C> finish) {
  const fastimg::Box n = {g.size[0], g.size[1], g.size[2]};
  each_spot<C>(volumes, g, [&](i64 place, i64 volume, const Spot<C>& s) {
    U value = outside;
    if (s.inside) {
      C v = fastimg::sample_at<D, C>(in + volume, intake, n, s.z, s.y, s.x, s.wz, s.wy, s.wx);
      if (finish.on) v = fastimg::finished(v, finish);
      value = fastimg::Store<truncate, U>::from(v);
    }
    out[place] = value;
  });
}

template <bool label, class T>
__device__ void moved_each(const T* in, T* out, i64 volumes, const Grid& g, T outside) {
  const fastimg::Box n = {g.size[0], g.size[1], g.size[2]};
  each_spot<double>(volumes, g, [&](i64 place, i64 volume, const Spot<double>& s) {
    const fastimg::Point p = {s.z, s.y, s.x, s.wz, s.wy, s.wx, s.inside};
    T value = outside;
    if (s.inside) value = label ? fastimg::vote_8(in + volume, n, p) : fastimg::nearest_at(in + volume, n, p);
    out[place] = value;
  });
}

}  // namespace

// Names: degree, input, output, arithmetic; _truncate rounds towards zero. Degrees 2 to 5 read coefficients.
#define FASTIMG_OBLIQUE(degree, name, T, U, C, truncate)                                                             \
  FASTIMG_WANTED(                                                                                                    \
      oblique_##degree##_##name,                                                                                     \
      extern "C" __global__ void oblique_##degree##_##name(                                                          \
          const T* in, U* out, long long volumes, const long long* size, const double* matrix, const void* field,    \
          int kind, int edge, U outside, int take, C slope, C intercept, C low, C high, int end, C shift, C scale) { \
        oblique_each<degree, T, U, C, truncate>(in, out, volumes, {size, matrix, field, kind, edge}, outside,        \
                                                {take, slope, intercept, low, high}, {end, shift, scale});           \
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
  FASTIMG_OBLIQUE(1, name##_float64_float64, T, double, double, false)     \
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
FASTIMG_OBLIQUE(1, float32_float64_float64, float, double, double, false)
FASTIMG_SPLINES(float64_float64_float64, double, double, double, false)

#define FASTIMG_MOVED(name, T)                                                                                         \
  FASTIMG_WANTED(                                                                                                      \
      oblique_nearest_##name, extern "C" __global__ void oblique_nearest_##name(                                       \
                                  const T* in, T* out, long long volumes, const long long* size, const double* matrix, \
                                  const void* field, int kind, int edge, T outside) {                                  \
        moved_each<false>(in, out, volumes, {size, matrix, field, kind, edge}, outside);                               \
      })                                                                                                               \
  FASTIMG_WANTED(                                                                                                      \
      oblique_label_##name, extern "C" __global__ void oblique_label_##name(                                           \
                                const T* in, T* out, long long volumes, const long long* size, const double* matrix,   \
                                const void* field, int kind, int edge, T outside) {                                    \
        moved_each<true>(in, out, volumes, {size, matrix, field, kind, edge}, outside);                                \
      })
FASTIMG_MOVED(uint8, unsigned char)
FASTIMG_MOVED(uint16, unsigned short)
FASTIMG_MOVED(uint32, unsigned int)
FASTIMG_MOVED(uint64, unsigned long long)
