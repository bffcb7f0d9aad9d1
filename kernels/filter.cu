// One axis of a separable filter: one thread a voxel, sums from the first tap to the last as on the CPU.
#include "fastimg/interpolate.cuh"

namespace {

using fastimg::i64;

// out[o] along an axis of n values `inner` apart; source holds n + taps - 1 indices.
template <class T, class C>
__device__ void filter_each(const T* in, C* out, i64 count, i64 n, i64 inner, const C* weights, const i64* source,
                            int taps) {
  const i64 step = (i64)gridDim.x * blockDim.x;
  for (i64 v = (i64)blockIdx.x * blockDim.x + threadIdx.x; v < count; v += step) {
    const i64 o = v / inner % n, line = v - o * inner;
    C sum = weights[0] * (C)in[line + source[o] * inner];
    for (int t = 1; t < taps; ++t) sum = fastimg::weigh(sum, weights[t], (C)in[line + source[o + t] * inner]);
    out[v] = sum;
  }
}

}  // namespace

#define FASTIMG_FILTER(name, T, C)                                                                             \
  extern "C" __global__ void filter_##name(const T* in, C* out, long long count, long long n, long long inner, \
                                           const C* weights, const long long* source, int taps) {              \
    filter_each(in, out, count, n, inner, weights, source, taps);                                              \
  }
FASTIMG_FILTER(int8_float32, signed char, float)
FASTIMG_FILTER(uint8_float32, unsigned char, float)
FASTIMG_FILTER(int16_float32, short, float)
FASTIMG_FILTER(uint16_float32, unsigned short, float)
FASTIMG_FILTER(float32_float32, float, float)
FASTIMG_FILTER(int32_float64, int, double)
FASTIMG_FILTER(uint32_float64, unsigned int, double)
FASTIMG_FILTER(int64_float64, long long, double)
FASTIMG_FILTER(uint64_float64, unsigned long long, double)
FASTIMG_FILTER(float64_float64, double, double)
