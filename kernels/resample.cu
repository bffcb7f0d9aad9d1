// Separable interpolation, nearest neighbour and votes on an axis-aligned grid; tables made on the host.
//
// separable: a thread owns one column (j, i) of a slab of output planes and keeps what its source planes gave along y
// and x, so each is interpolated once a slab. The order of operations is that of the CPU's row loops, so the bits are
// the same. Where all axes have two taps kernels/linear.cu does it. Geometry, for each axis z, y, x: in, out, low,
// high, linear, taps (csrc/resampling/separable.hpp).
#include "fastimg/entries.cuh"
#include "fastimg/interpolate.cuh"
#include "fastimg/vote.cuh"

namespace {

using fastimg::i64;
constexpr int kTileX = 32, kTileY = 8, kHeld = 6;

struct Axis {
  i64 in, out, low, high, linear, taps;
};

__device__ Axis axis_of(const i64* geometry, int axis) {
  const i64* g = geometry + 6 * axis;
  return {g[0], g[1], g[2], g[3], g[4], g[5]};
}

__device__ bool within(const Axis& axis, i64 o) { return o >= axis.low && o < axis.high; }

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
__device__ void separable_each(const T* in, U* out, i64 volumes, i64 depth, const i64* geometry, const int* first_z,
                               const int* first_y, const int* first_x, const C* weight_z, const C* weight_y,
                               const C* weight_x, U outside, fastimg::Intake<C> intake, fastimg::Finish<C> finish) {
  const Axis z = axis_of(geometry, 0), y = axis_of(geometry, 1), x = axis_of(geometry, 2);
  const i64 across = (x.out + kTileX - 1) / kTileX, down = (y.out + kTileY - 1) / kTileY;
  const i64 slabs = (z.out + depth - 1) / depth, pieces = volumes * slabs * down * across;
  const bool march = z.taps <= kHeld;
  for (i64 piece = blockIdx.x; piece < pieces; piece += gridDim.x) {
    const i64 i = piece % across * kTileX + threadIdx.x % kTileX;
    const i64 j = piece / across % down * kTileY + threadIdx.x / kTileX;
    const i64 slab = piece / across / down % slabs, volume = piece / across / down / slabs;
    if (i >= x.out || j >= y.out) continue;
    const T* const source = in + volume * z.in * y.in * x.in;
    const bool inside = within(y, j) && within(x, i);
    const i64 until = (slab + 1) * depth < z.out ? (slab + 1) * depth : z.out;
    const auto plane = [&](i64 zi) {
      const T* const from = source + zi * y.in * x.in;
      const auto at_x = [&](i64 xi) {
        return along<C>(y, first_y, weight_y, j, [&](i64 yi) {
          const C v = (C)from[yi * x.in + xi];
          return intake.on ? fastimg::taken(v, intake) : v;
        });
      };
      return along<C>(x, first_x, weight_x, i, at_x);
    };
    C held[kHeld];  // planes from `bottom` on, `count` of them
    i64 bottom = 0, count = 0;
    for (i64 k = slab * depth; k < until; ++k) {
      U* const place = out + ((volume * z.out + k) * y.out + j) * x.out + i;
      if (!inside || !within(z, k)) {
        *place = outside;
        continue;
      }
      C v;
      if (march) {
        const i64 f = first_z[k], taps = z.linear ? (weight_z[k] == C(0) ? 1 : 2) : z.taps;
        if (f < bottom || f >= bottom + count) bottom = f, count = 0;
        for (; bottom < f; ++bottom, --count) {
#pragma unroll
          for (int s = 0; s + 1 < kHeld; ++s) held[s] = held[s + 1];
        }
#pragma unroll
        for (int s = 0; s < kHeld; ++s)
          if (s >= count && s < taps) held[s] = plane(f + s);
        if (count < taps) count = taps;
        v = held[0];
        if (z.linear) {
          if (taps == 2) v = fastimg::lerp(v, held[1], weight_z[k]);
        } else {
          v = weight_z[k] * v;
#pragma unroll
          for (int t = 1; t < kHeld; ++t)
            if (t < taps) v = fastimg::weigh(v, weight_z[t * z.out + k], held[t]);
        }
      } else {
        v = along<C>(z, first_z, weight_z, k, plane);
      }
      if (finish.on) v = fastimg::finished(v, finish);
      *place = fastimg::Store<truncate, U>::from(v);
    }
  }
}

// f(n, row, i) for each voxel n = row * width + i, neighbours of a row by neighbours of a warp.
template <class F>
__device__ void each_in_rows(i64 rows, i64 width, F f) {
  const i64 lanes = 32, warps = (i64)gridDim.x * (blockDim.x / lanes);
  for (i64 row = (i64)blockIdx.x * (blockDim.x / lanes) + threadIdx.x / lanes; row < rows; row += warps)
    for (i64 i = threadIdx.x % lanes; i < width; i += lanes) f(row * width + i, row, i);
}

// A warp takes kRows rows of a plane together: an index serves all of them, and more loads are under way. They are
// `apart` rows apart, so that all begin alike in a sector of 32 bytes of memory and the stores between a row's ends
// fill whole sectors. Voxels are moved as unsigned numbers of their size.
template <class T>
__device__ void pick_each(const T* __restrict__ in, T* __restrict__ out, int volumes, int apart, const fastimg::Line& z,
                          const fastimg::Line& y, const fastimg::Line& x, const int* __restrict__ index_z,
                          const int* __restrict__ index_y, const int* __restrict__ index_x, T outside) {
  constexpr int kRows = 2, kLanes = 32, kUnroll = 4;
  const int warp = (int)(blockIdx.x * (blockDim.x / kLanes) + threadIdx.x / kLanes);
  const int top = warp / apart * apart * kRows + warp % apart;
  if (top >= y.out) return;
  for (int volume = blockIdx.z; volume < volumes; volume += gridDim.z)
    for (int k = blockIdx.y; k < z.out; k += gridDim.y) {
      const T* const source = in + ((i64)volume * z.in + index_z[k]) * y.in * x.in;
      const T* from[kRows];
      T* to[kRows];
      bool inside[kRows], exists[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        exists[r] = top + r * apart < y.out;
        const int row = top + r * apart, j = row < y.out ? row : top;
        inside[r] = z.within(k) && y.within(j);
        from[r] = source + (i64)index_y[j] * x.in;
        to[r] = out + (((i64)volume * z.out + k) * y.out + j) * x.out;
      }
      const int early = (int)((unsigned long long)to[0] % 32 / sizeof(T));
      for (int i = (int)threadIdx.x % kLanes - early; i < x.out; i += kLanes * kUnroll) {
        int at[kUnroll];
        T voxel[kUnroll][kRows];
#pragma unroll
        for (int u = 0; u < kUnroll; ++u) {
          const int column = i + u * kLanes;
          at[u] = column >= 0 && column < x.out ? index_x[column] : 0;
        }
#pragma unroll
        for (int u = 0; u < kUnroll; ++u)
#pragma unroll
          for (int r = 0; r < kRows; ++r) voxel[u][r] = from[r][at[u]];
#pragma unroll
        for (int u = 0; u < kUnroll; ++u) {
          const int column = i + u * kLanes;
          if (column < 0 || column >= x.out) continue;
          const bool within = x.within(column);
#pragma unroll
          for (int r = 0; r < kRows; ++r)
            if (exists[r]) to[r][column] = inside[r] && within ? voxel[u][r] : outside;
        }
      }
    }
}

template <class T>
__device__ void label_each(const T* in, T* out, i64 volumes, const i64* geometry, const int* first_z,
                           const int* first_y, const int* first_x, const double* weight_z, const double* weight_y,
                           const double* weight_x, T outside) {
  const Axis z = axis_of(geometry, 0), y = axis_of(geometry, 1), x = axis_of(geometry, 2);
  const auto taps = [](const Axis& axis, const double* weight, i64 o) {
    return axis.linear ? (weight[o] == 0.0 ? 1 : 2) : (int)axis.taps;
  };
  const auto share = [](const Axis& axis, const double* weight, i64 o, int t) {
    return !axis.linear ? weight[t * axis.out + o] : t ? weight[o] : 1.0 - weight[o];
  };
  each_in_rows(volumes * z.out * y.out, x.out, [&](i64 n, i64 row, i64 i) {
    const i64 j = row % y.out, k = row / y.out % z.out, volume = row / y.out / z.out;
    out[n] = outside;
    if (!within(z, k) || !within(y, j) || !within(x, i)) return;
    const T* const from = in + ((volume * z.in + first_z[k]) * y.in + first_y[j]) * x.in + first_x[i];
    out[n] = fastimg::vote<T>(
        taps(z, weight_z, k), taps(y, weight_y, j), taps(x, weight_x, i),
        [&](int t, int u, int v) { return from[(t * y.in + u) * x.in + v]; },
        [&](int t, int u, int v) {
          return share(z, weight_z, k, t) * share(y, weight_y, j, u) * share(x, weight_x, i, v);
        });
  });
}

}  // namespace

#define FASTIMG_SEPARABLE(name, T, U, C, truncate)                                                                    \
  FASTIMG_WANTED(                                                                                                     \
      separable_##name,                                                                                               \
      extern "C" __global__ void separable_##name(                                                                    \
          const T* in, U* out, long long volumes, long long depth, const long long* geometry, const int* first_z,     \
          const int* first_y, const int* first_x, const C* weight_z, const C* weight_y, const C* weight_x, U outside, \
          int take, C slope, C intercept, C low, C high, int end, C shift, C scale) {                                 \
        separable_each<T, U, C, truncate>(in, out, volumes, depth, geometry, first_z, first_y, first_x, weight_z,     \
                                          weight_y, weight_x, outside, {take, slope, intercept, low, high},           \
                                          {end, shift, scale});                                                       \
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
FASTIMG_SEPARABLE(float32_float64_float64, float, double, double, false)
FASTIMG_SEPARABLE(float64_float64_float64, double, double, double, false)

#define FASTIMG_MOVED(name, T)                                                                                       \
  FASTIMG_WANTED(                                                                                                    \
      nearest_##name, extern "C" __global__ void nearest_##name(                                                     \
                          const T* in, T* out, int volumes, int apart, int in_z, int out_z, int low_z, int high_z,   \
                          int in_y, int out_y, int low_y, int high_y, int in_x, int out_x, int low_x, int high_x,    \
                          const int* index_z, const int* index_y, const int* index_x, T outside) {                   \
        pick_each(in, out, volumes, apart, {in_z, out_z, low_z, high_z}, {in_y, out_y, low_y, high_y},               \
                  {in_x, out_x, low_x, high_x}, index_z, index_y, index_x, outside);                                 \
      })                                                                                                             \
  FASTIMG_WANTED(                                                                                                    \
      label_##name,                                                                                                  \
      extern "C" __global__ void label_##name(                                                                       \
          const T* in, T* out, long long volumes, const long long* geometry, const int* first_z, const int* first_y, \
          const int* first_x, const double* weight_z, const double* weight_y, const double* weight_x, T outside) {   \
        label_each(in, out, volumes, geometry, first_z, first_y, first_x, weight_z, weight_y, weight_x, outside);    \
      })
FASTIMG_MOVED(uint8, unsigned char)
FASTIMG_MOVED(uint16, unsigned short)
FASTIMG_MOVED(uint32, unsigned int)
FASTIMG_MOVED(uint64, unsigned long long)
