// Linear interpolation on an axis-aligned grid: a thread owns kColumns columns beside each other of a slab of output
// planes and walks the source planes that they need, each interpolated along y and x once. The samples of the next
// kAhead planes are on their way from memory meanwhile: the floor is one reading and one writing of the volume.
//
// The order of operations is that of the CPU's row loops, so the bits are the same.
#include "fastimg/entries.cuh"
#include "fastimg/interpolate.cuh"

namespace {

using fastimg::i64;
constexpr int kWarp = 32, kWarps = 8, kAhead = 3, kColumns = 2;
template <class C>
constexpr int kResident = sizeof(C) == 4 ? 4 : 2;  // blocks that share a multiprocessor's registers

// The source planes in the order of the outputs: the first of them is `base`. top[k]: the last of them that output
// plane k needs (its other one is the entry before); upto[e]: the first output that needs more than entry e.
struct Planes {
  int base;
  const int *top, *upto;
};

// The voxels of a thread's columns, written at once.
template <class U>
struct alignas(sizeof(U) * kColumns) Together {
  U at[kColumns];
};

template <class C>
struct Weighed {  // the first sample's index and the weight of the one after it
  const int* first;
  const C* weight;
};

// fastimg::lerp of two lifted values: the bias leaves their difference as it is.
template <class C>
__device__ C lifted_lerp(C a, C b, C w, C bias) {
  const C change = b - a;
  a = a - bias;
  return w == C(0) ? a : a + w * change;
}

template <bool descending, class T, class U, class C, bool truncate>
__device__ void linear_each(const T* __restrict__ in, U* __restrict__ out, int depth, const fastimg::Line& z,
                            const fastimg::Line& y, const fastimg::Line& x, const Planes& planes,
                            const C* __restrict__ weight_z, const Weighed<C>& at_y, const Weighed<C>& at_x, U outside,
                            const fastimg::Intake<C>& intake, const fastimg::Finish<C>& finish) {
  const int across = (x.out + kWarp * kColumns - 1) / (kWarp * kColumns);
  const int j = (int)(blockIdx.x / across) * kWarps + (int)threadIdx.x / kWarp;
  const int i = ((int)(blockIdx.x % across) * kWarp + (int)threadIdx.x % kWarp) * kColumns;
  if (j >= y.out || i >= x.out) return;
  const i64 step = (i64)y.in * x.in, along = (i64)y.out * x.out, volume = blockIdx.z;
  i64 ahead_by = (descending ? -step : step) * (int)sizeof(T);  // from a plane to the next, in bytes

  // Columns of this thread: the rows that the next plane's samples come from, and whether the pair there ends at the
  // sample wanted (the row's last one) instead of beginning with it.
  const T *upper[kColumns], *lower[kColumns];
  C weight_x[kColumns];
  bool inside[kColumns], ends[kColumns];
  const C weight_y = at_y.weight[j];
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    const int column = i + c < x.out ? i + c : i, first = at_x.first[column];
    inside[c] = y.within(j) && x.within(column);
    weight_x[c] = at_x.weight[column];
    ends[c] = first == x.in - 1;
    upper[c] = in + volume * z.in * step + at_y.first[j] * (i64)x.in + (first - (ends[c] ? 1 : 0));
    lower[c] = upper[c] + (weight_y == C(0) ? 0 : x.in);
  }
  const auto move = [&](i64 away) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c)
      upper[c] = (const T*)((const char*)upper[c] + away), lower[c] = (const T*)((const char*)lower[c] + away);
  };
  using Lifted = fastimg::Lifted<C, T>;
  using Raw = typename Lifted::Raw;
  Raw ahead[kAhead][kColumns][4];
  const auto fetch = [&](Raw(&to)[kColumns][4]) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      to[c][0] = Lifted::raw(upper[c][0]), to[c][1] = Lifted::raw(upper[c][1]);
      to[c][2] = Lifted::raw(lower[c][0]), to[c][3] = Lifted::raw(lower[c][1]);
    }
  };
  const auto plane_value = [&](const Raw(&from)[4], C wx, bool end) {
    C v[4], left, right;
#pragma unroll
    for (int s = 0; s < 4; ++s) v[s] = Lifted::of(from[s]);
    if (intake.on) {
#pragma unroll
      for (int s = 0; s < 4; ++s) v[s] = fastimg::taken(v[s] - Lifted::bias, intake);
      left = fastimg::lerp(v[0], v[2], weight_y), right = fastimg::lerp(v[1], v[3], weight_y);
    } else {
      left = lifted_lerp(v[0], v[2], weight_y, Lifted::bias), right = lifted_lerp(v[1], v[3], weight_y, Lifted::bias);
    }
    return fastimg::lerp(end ? right : left, right, wx);
  };

  int k = (int)blockIdx.y * depth;
  const int until = k + depth < z.out ? k + depth : z.out;
  int end = until < z.high ? until : z.high;
  FASTIMG_KEPT(end);
  FASTIMG_KEPT(ahead_by);
  U* place = out + ((volume * z.out + k) * y.out + j) * x.out + i;
  bool together =
      i + kColumns <= x.out && (unsigned long long)place % sizeof(Together<U>) == 0 && along % kColumns == 0;
#pragma unroll
  for (int c = 0; c < kColumns; ++c) together = together && inside[c];
  const auto put = [&](const Together<U>& voxels) {
    if (together) {
      *(Together<U>*)place = voxels;
    } else {
#pragma unroll
      for (int c = 0; c < kColumns; ++c)
        if (i + c < x.out) place[c] = inside[c] ? voxels.at[c] : outside;
    }
  };
  const auto leave = [&](int stop) {
#pragma unroll 1
    for (; k < stop; ++k, place += along)
      for (int c = 0; c < kColumns && i + c < x.out; ++c) place[c] = outside;
  };
  leave(until < z.low ? until : z.low);
  if (k < end) {
    int n = planes.top[k] - (weight_z[k] == C(0) ? 0 : 1);
    int last = planes.top[end - 1];
    FASTIMG_KEPT(last);
    move((planes.base * (descending ? -1 : 1) + n) * ahead_by);
#pragma unroll
    for (int s = 0; s < kAhead; ++s) {
      if (s && n + s <= last) move(ahead_by);
      fetch(ahead[s]);
    }
    C before[kColumns] = {}, here[kColumns] = {};
    for (; n <= last; n += kAhead) {
#pragma unroll
      for (int s = 0; s < kAhead; ++s) {
        if (n + s > last) break;
#pragma unroll
        for (int c = 0; c < kColumns; ++c)
          before[c] = here[c], here[c] = plane_value(ahead[s][c], weight_x[c], ends[c]);
        move(n + s + kAhead <= last ? ahead_by : 0);  // the last one again, rather than a branch
        fetch(ahead[s]);
        const int upto = planes.upto[n + s], stop = upto < end ? upto : end;
#pragma unroll 1
        for (; k < stop; ++k, place += along) {
          const C w = weight_z[k];
          Together<U> voxels;
#pragma unroll
          for (int c = 0; c < kColumns; ++c) {
            C v = descending ? fastimg::lerp(here[c], before[c], w) : fastimg::lerp(before[c], here[c], w);
            v = w == C(0) ? here[c] : v;
            if (finish.on) v = fastimg::finished(v, finish);
            voxels.at[c] = fastimg::Store<truncate, U>::from(v);
          }
          put(voxels);
        }
      }
    }
  }
  leave(until);
}

}  // namespace

#define FASTIMG_WALK(name, descending, T, U, C, truncate)                                                             \
  FASTIMG_WANTED(                                                                                                     \
      linear_##name,                                                                                                  \
      extern "C" __global__ void __launch_bounds__(kWarp* kWarps, kResident<C>) linear_##name(                        \
          const T* in, U* out, int depth, int in_z, int out_z, int low_z, int high_z, int in_y, int out_y, int low_y, \
          int high_y, int in_x, int out_x, int low_x, int high_x, int base, const int* top, const int* upto,          \
          const C* weight_z, const int* first_y, const C* weight_y, const int* first_x, const C* weight_x, U outside, \
          int take, C slope, C intercept, C low, C high, int last, C shift, C scale) {                                \
        linear_each<descending, T, U, C, truncate>(                                                                   \
            in, out, depth, {in_z, out_z, low_z, high_z}, {in_y, out_y, low_y, high_y}, {in_x, out_x, low_x, high_x}, \
            {base, top, upto}, weight_z, {first_y, weight_y}, {first_x, weight_x}, outside,                           \
            {take, slope, intercept, low, high}, {last, shift, scale});                                               \
      })
#define FASTIMG_LINEAR(name, T, U, C, truncate)     \
  FASTIMG_WALK(up_##name, false, T, U, C, truncate) \
  FASTIMG_WALK(down_##name, true, T, U, C, truncate)
// Names: whether the source planes are walked up or down, input, output, arithmetic; _truncate rounds towards zero.
#define FASTIMG_SMALL(name, T)                                   \
  FASTIMG_LINEAR(name##_##name##_float32, T, T, float, false)    \
  FASTIMG_LINEAR(name##_float32_float32, T, float, float, false) \
  FASTIMG_WIDE(name, T)
#define FASTIMG_WIDE(name, T)                                      \
  FASTIMG_LINEAR(name##_float64_float64, T, double, double, false) \
  FASTIMG_LINEAR(name##_##name##_float64, T, T, double, false)     \
  FASTIMG_LINEAR(name##_##name##_float64_truncate, T, T, double, true)
FASTIMG_SMALL(int8, signed char)
FASTIMG_SMALL(uint8, unsigned char)
FASTIMG_SMALL(int16, short)
FASTIMG_SMALL(uint16, unsigned short)
FASTIMG_WIDE(int32, int)
FASTIMG_WIDE(uint32, unsigned int)
FASTIMG_WIDE(int64, long long)
FASTIMG_WIDE(uint64, unsigned long long)
FASTIMG_LINEAR(float32_float32_float32, float, float, float, false)
FASTIMG_LINEAR(float32_float64_float64, float, double, double, false)
FASTIMG_LINEAR(float64_float64_float64, double, double, double, false)
