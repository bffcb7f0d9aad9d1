// Counting by integer atomics, exact, so the order of the additions does not matter. Moments: a partial result a block;
// the caller adds them.
#include "fastimg/histogram.cuh"

namespace {

using fastimg::i32;
using fastimg::i64;
using fastimg::u32;
using fastimg::u64;
using fastimg::u8;

struct Direct {
  i64 origin;
  template <class T>
  __device__ u32 operator()(T x) const {
    return (u32)((u64)x - (u64)origin);
  }
};
struct Fixed {
  double low, high, scale;
  int bins;
  template <class T>
  __device__ u32 operator()(T x) const {
    return fastimg::fixed_bin((double)x, low, high, scale, bins);
  }
};
struct Power {
  double inverse, base;
  int bins;
  template <class T>
  __device__ u32 operator()(T x) const {
    return fastimg::power_bin((double)x, inverse, base, bins);
  }
};
struct Key {
  __device__ u32 operator()(unsigned int x) const { return fastimg::ordered((u32)x) >> 16; }
  __device__ u32 operator()(unsigned long long x) const { return (u32)(fastimg::ordered((u64)x) >> 48); }
};

// Sixteen bytes of voxels in one load.
template <class T>
struct alignas(16) Pack {
  static constexpr int kSize = 16 / sizeof(T);
  T x[kSize];
};

// A block counts the bins [first, first + size) in shared memory, in `copies` interleaved tables (a power of two: lanes
// of a warp meet less often, with 32 never in one bank), the few values elsewhere in global memory. Equal neighbours
// are added at once.
template <class T, class Index>
__device__ void count(const T* in, const unsigned char* mask, int masked, i64 length, Index index, u64* counts,
                      int first, int size, int copies) {
  FASTIMG_DYNAMIC_SHARED(u32, local);
  for (int i = threadIdx.x; i < size * copies; i += blockDim.x) local[i] = 0;
  __syncthreads();
  const u32 mine = threadIdx.x & (u32)(copies - 1);
  const i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, step = (i64)gridDim.x * blockDim.x;
  const bool aligned = ((u64)in & 15) == 0;
  const i64 packs = aligned ? length / Pack<T>::kSize : 0;
  u32 last = 0, run = 0;
  const auto put = [&](u32 bin, u32 times) {
    const u32 place = bin - (u32)first;
    if (place < (u32)size)
      atomicAdd(local + place * (u32)copies + mine, times);
    else
      atomicAdd(counts + bin, (u64)times);
  };
  const auto add = [&](T x) {
    const u32 bin = index(x);
    if (run && bin != last) {
      put(last, run);
      run = 0;
    }
    last = bin;
    ++run;
  };
  for (i64 p = thread; p < packs; p += step) {
    const Pack<T> pack = ((const Pack<T>*)in)[p];
    for (int k = 0; k < Pack<T>::kSize; ++k)
      if (!masked || mask[p * Pack<T>::kSize + k]) add(pack.x[k]);
  }
  for (i64 i = packs * Pack<T>::kSize + thread; i < length; i += step)
    if (!masked || mask[i]) add(in[i]);
  if (run) put(last, run);
  __syncthreads();
  for (int i = threadIdx.x; i < size; i += blockDim.x) {
    u64 sum = 0;
    for (int k = 0; k < copies; ++k) sum += local[i * copies + k];
    if (sum) atomicAdd(counts + first + i, sum);
  }
}

// Count, others, sum and sum of squares about `shift`, least and greatest: one reading, a partial result a block.
template <class T>
__device__ void sums(const T* in, const unsigned char* mask, int masked, i64 length, double shift, double* part) {
  const int kParts = 6;
  __shared__ double all[6 * 256];
  const i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, step = (i64)gridDim.x * blockDim.x;
  double n = 0, bad = 0, t = 0, s = 0, a = 1.7976931348623157e308, b = -1.7976931348623157e308;
  for (i64 i = thread; i < length; i += step) {
    if (masked && !mask[i]) continue;
    const double x = (double)in[i];
    if (!fastimg::is_finite(x)) {
      bad += 1;
      continue;
    }
    const double d = x - shift;
    n += 1;
    t += d;
    s += d * d;
    a = x < a ? x : a;
    b = x > b ? x : b;
  }
  double* const own = all + threadIdx.x * kParts;
  own[0] = n;
  own[1] = bad;
  own[2] = t;
  own[3] = s;
  own[4] = a;
  own[5] = b;
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x >= half) continue;
    const double* const other = own + half * kParts;
    for (int k = 0; k < 4; ++k) own[k] += other[k];
    own[4] = other[4] < own[4] ? other[4] : own[4];
    own[5] = other[5] > own[5] ? other[5] : own[5];
  }
  if (threadIdx.x == 0)
    for (int k = 0; k < kParts; ++k) part[blockIdx.x * kParts + k] = own[k];
}

// In which segment between increasing borders a value lies (NaN: before the first); segments are counted, and values of
// those that are wanted are kept, in any order: staged in shared memory, so that a block asks for room once a tile.
template <class T>
__device__ void between(const T* in, const unsigned char* mask, int masked, i64 length, const T* borders, int number,
                        const unsigned char* wanted, u64* counts, T* out, u64* found, u64 room) {
  const int kTile = 2048, kMost = 128;
  __shared__ T stage[kTile];
  __shared__ T edge[kMost];
  __shared__ u32 seen[kMost + 1];
  __shared__ u32 staged;
  __shared__ u64 place;
  for (int i = threadIdx.x; i < number; i += blockDim.x) edge[i] = borders[i];
  for (int i = threadIdx.x; i <= number; i += blockDim.x) seen[i] = 0;
  if (threadIdx.x == 0) staged = 0;
  __syncthreads();
  for (i64 tile = (i64)blockIdx.x * kTile; tile < length; tile += (i64)gridDim.x * kTile) {
    const int n = length - tile < kTile ? (int)(length - tile) : kTile;
    u32 last = 0, run = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      if (masked && !mask[tile + i]) continue;
      const T x = in[tile + i];
      int low = 0, high = number;  // edge[low - 1] <= x < edge[high]
      while (low < high) {
        const int middle = (low + high) / 2;
        if (x >= edge[middle])
          low = middle + 1;
        else
          high = middle;
      }
      if (run && (u32)low != last) {
        atomicAdd(seen + last, run);
        run = 0;
      }
      last = (u32)low;
      ++run;
      if (wanted[low]) stage[atomicAdd(&staged, 1u)] = x;
    }
    if (run) atomicAdd(seen + last, run);
    __syncthreads();
    if (threadIdx.x == 0 && staged) place = atomicAdd(found, (u64)staged);
    __syncthreads();
    for (int i = threadIdx.x; i < (int)staged; i += blockDim.x)
      if (place + i < room) out[place + i] = stage[i];
    __syncthreads();
    if (threadIdx.x == 0) staged = 0;
    __syncthreads();
  }
  for (int i = threadIdx.x; i <= number; i += blockDim.x)
    if (seen[i]) atomicAdd(counts + i, (u64)seen[i]);
}

}  // namespace

#define FASTIMG_VOXEL(name, T)                                                                                         \
  extern "C" __global__ void fixed_##name(const T* in, const unsigned char* mask, int masked, long long length,        \
                                          double low, double high, double scale, int bins, unsigned long long* counts, \
                                          int first, int size, int copies) {                                           \
    count(in, mask, masked, length, Fixed{low, high, scale, bins}, counts, first, size, copies);                       \
  }                                                                                                                    \
  extern "C" __global__ void sums_##name(const T* in, const unsigned char* mask, int masked, long long length,         \
                                         double shift, double* part) {                                                 \
    sums(in, mask, masked, length, shift, part);                                                                       \
  }
#define FASTIMG_WHOLE(name, T)                                                                                   \
  FASTIMG_VOXEL(name, T)                                                                                         \
  extern "C" __global__ void direct_##name(const T* in, const unsigned char* mask, int masked, long long length, \
                                           long long origin, unsigned long long* counts, int first, int size,    \
                                           int copies) {                                                         \
    count(in, mask, masked, length, Direct{origin}, counts, first, size, copies);                                \
  }
#define FASTIMG_REAL(name, T)                                                                                     \
  FASTIMG_VOXEL(name, T)                                                                                          \
  extern "C" __global__ void power_##name(const T* in, const unsigned char* mask, int masked, long long length,   \
                                          double inverse, double base, int bins, unsigned long long* counts,      \
                                          int first, int size, int copies) {                                      \
    count(in, mask, masked, length, Power{inverse, base, bins}, counts, first, size, copies);                     \
  }                                                                                                               \
  extern "C" __global__ void between_##name(const T* in, const unsigned char* mask, int masked, long long length, \
                                            const T* borders, int number, const unsigned char* wanted,            \
                                            unsigned long long* counts, T* out, unsigned long long* found,        \
                                            unsigned long long room) {                                            \
    between(in, mask, masked, length, borders, number, wanted, counts, out, found, room);                         \
  }
FASTIMG_WHOLE(int8, signed char)
FASTIMG_WHOLE(uint8, unsigned char)
FASTIMG_WHOLE(int16, short)
FASTIMG_WHOLE(uint16, unsigned short)
FASTIMG_WHOLE(int32, int)
FASTIMG_WHOLE(uint32, unsigned int)
FASTIMG_WHOLE(int64, long long)
FASTIMG_WHOLE(uint64, unsigned long long)
FASTIMG_REAL(float32, float)
FASTIMG_REAL(float64, double)

extern "C" __global__ void keys_uint32(const unsigned int* in, const unsigned char* mask, int masked, long long length,
                                       unsigned long long* counts, int first, int size, int copies) {
  count(in, mask, masked, length, Key{}, counts, first, size, copies);
}
extern "C" __global__ void keys_uint64(const unsigned long long* in, const unsigned char* mask, int masked,
                                       long long length, unsigned long long* counts, int first, int size, int copies) {
  count(in, mask, masked, length, Key{}, counts, first, size, copies);
}
