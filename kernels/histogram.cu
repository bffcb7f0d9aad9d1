// Counting by integer atomics: in a block's shared memory where the bins fit there, else in global memory. Exact, so
// the order of the additions does not matter. Moments: two passes, a partial result a thread; the caller adds them.
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

template <class T, class Index>
__device__ void count(const T* in, const unsigned char* mask, int masked, i64 length, Index index, u64* counts,
                      int size, int shared) {
  FASTIMG_DYNAMIC_SHARED(u32, local);
  const i64 first = (i64)blockIdx.x * blockDim.x + threadIdx.x, step = (i64)gridDim.x * blockDim.x;
  if (shared) {
    for (int i = threadIdx.x; i < size; i += blockDim.x) local[i] = 0;
    __syncthreads();
    for (i64 i = first; i < length; i += step)
      if (!masked || mask[i]) atomicAdd(local + index(in[i]), 1u);
    __syncthreads();
    for (int i = threadIdx.x; i < size; i += blockDim.x)
      if (local[i]) atomicAdd(counts + i, (u64)local[i]);
  } else {
    for (i64 i = first; i < length; i += step)
      if (!masked || mask[i]) atomicAdd(counts + index(in[i]), (u64)1);
  }
}

template <class T>
__device__ void sums(const T* in, const unsigned char* mask, int masked, i64 length, double* number, double* skipped,
                     double* total, double* low, double* high) {
  const i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, step = (i64)gridDim.x * blockDim.x;
  double n = 0, bad = 0, t = 0, a = 1.7976931348623157e308, b = -1.7976931348623157e308;
  for (i64 i = thread; i < length; i += step) {
    if (masked && !mask[i]) continue;
    const double x = (double)in[i];
    if (!fastimg::is_finite(x)) {
      bad += 1;
      continue;
    }
    n += 1;
    t += x;
    a = x < a ? x : a;
    b = x > b ? x : b;
  }
  number[thread] = n;
  skipped[thread] = bad;
  total[thread] = t;
  low[thread] = a;
  high[thread] = b;
}

template <class T>
__device__ void squares(const T* in, const unsigned char* mask, int masked, i64 length, double mean, double* square) {
  const i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, step = (i64)gridDim.x * blockDim.x;
  double s = 0;
  for (i64 i = thread; i < length; i += step) {
    const double x = (double)in[i];
    if ((masked && !mask[i]) || !fastimg::is_finite(x)) continue;
    s += (x - mean) * (x - mean);
  }
  square[thread] = s;
}

}  // namespace

#define FASTIMG_VOXEL(name, T)                                                                                         \
  extern "C" __global__ void fixed_##name(const T* in, const unsigned char* mask, int masked, long long length,        \
                                          double low, double high, double scale, int bins, unsigned long long* counts, \
                                          int size, int shared) {                                                      \
    count(in, mask, masked, length, Fixed{low, high, scale, bins}, counts, size, shared);                              \
  }                                                                                                                    \
  extern "C" __global__ void sums_##name(const T* in, const unsigned char* mask, int masked, long long length,         \
                                         double* number, double* skipped, double* total, double* low, double* high) {  \
    sums(in, mask, masked, length, number, skipped, total, low, high);                                                 \
  }                                                                                                                    \
  extern "C" __global__ void squares_##name(const T* in, const unsigned char* mask, int masked, long long length,      \
                                            double mean, double* square) {                                             \
    squares(in, mask, masked, length, mean, square);                                                                   \
  }
#define FASTIMG_WHOLE(name, T)                                                                                   \
  FASTIMG_VOXEL(name, T)                                                                                         \
  extern "C" __global__ void direct_##name(const T* in, const unsigned char* mask, int masked, long long length, \
                                           long long origin, unsigned long long* counts, int size, int shared) { \
    count(in, mask, masked, length, Direct{origin}, counts, size, shared);                                       \
  }
#define FASTIMG_REAL(name, T)                                                                                          \
  FASTIMG_VOXEL(name, T)                                                                                               \
  extern "C" __global__ void power_##name(const T* in, const unsigned char* mask, int masked, long long length,        \
                                          double inverse, double base, int bins, unsigned long long* counts, int size, \
                                          int shared) {                                                                \
    count(in, mask, masked, length, Power{inverse, base, bins}, counts, size, shared);                                 \
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
                                       unsigned long long* counts, int size, int shared) {
  count(in, mask, masked, length, Key{}, counts, size, shared);
}
extern "C" __global__ void keys_uint64(const unsigned long long* in, const unsigned char* mask, int masked,
                                       long long length, unsigned long long* counts, int size, int shared) {
  count(in, mask, masked, length, Key{}, counts, size, shared);
}
