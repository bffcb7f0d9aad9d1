// One axis of a separable filter. Sums run from the first tap to the last, as on the CPU: they begin at -0, to which
// the first product is added without a change.
#include "fastimg/interpolate.cuh"

namespace {

using fastimg::i64;
using fastimg::u32;

// Along an axis of n values `inner` apart; source holds n + taps - 1 indices. A thread makes eight neighbours along the
// axis from one reading of the values around them, eight of them under way.
template <class T, class C>
__device__ void filter_across(const T* in, C* out, int n, i64 inner, i64 outer, const C* weights, const i64* source,
                              int taps) {
  constexpr int kOut = 8;
  const i64 beside = (i64)blockIdx.x * blockDim.x + threadIdx.x;
  if (beside >= inner) return;
  for (i64 volume = blockIdx.z; volume < outer; volume += gridDim.z)
    for (int first = (int)blockIdx.y * kOut; first < n; first += (int)gridDim.y * kOut) {
      const int made = n - first < kOut ? n - first : kOut, read = taps + made - 1;
      const T* const from = in + volume * n * inner + beside;
      C sum[kOut], weight[2 * kOut];
#pragma unroll
      for (int r = 0; r < kOut; ++r) sum[r] = C(-0.0), weight[r] = C(0);
      for (int begin = 0; begin < read; begin += kOut) {
        C value[kOut];
#pragma unroll
        for (int j = 0; j < kOut; ++j) {
          const int s = begin + j;
          value[j] = s < read ? (C)from[source[first + s] * inner] : C(0);
          weight[kOut + j] = s < taps ? weights[s] : C(0);
        }
#pragma unroll
        for (int j = 0; j < kOut; ++j)
#pragma unroll
          for (int r = 0; r < kOut; ++r)
            if ((u32)(begin + j - r) < (u32)taps) sum[r] = fastimg::weigh(sum[r], weight[kOut + j - r], value[j]);
#pragma unroll
        for (int j = 0; j < kOut; ++j) weight[j] = weight[kOut + j];
      }
      C* const to = out + (volume * n + first) * inner + beside;
#pragma unroll
      for (int r = 0; r < kOut; ++r)
        if (r < made) to[r * inner] = sum[r];
    }
}

// Along the last axis: a thread makes four values, a block's width apart. Away from the border the indices follow one
// another and are not read.
template <class C>
__device__ void filter_along(const C* in, C* out, int n, i64 rows, const C* weights, const i64* source, int taps) {
  constexpr int kOut = 4;
  const int begin = (int)(blockIdx.x * blockDim.x) * kOut + (int)threadIdx.x;
  if (begin >= n) return;
  const i64* from[kOut];
  i64 start[kOut];
  bool follow = true;
#pragma unroll
  for (int k = 0; k < kOut; ++k) {
    const int o = begin + k * (int)blockDim.x;
    from[k] = source + (o < n ? o : begin);
    start[k] = from[k][0];
    follow = follow && from[k][taps - 1] - start[k] == taps - 1;  // an index is at most one more than the one before
  }
  for (i64 row = blockIdx.y; row < rows; row += gridDim.y) {
    const C* const line = in + row * n;
    C sum[kOut];
#pragma unroll
    for (int k = 0; k < kOut; ++k) sum[k] = C(-0.0);
    if (follow) {
#pragma unroll 4
      for (int t = 0; t < taps; ++t) {
        const C weight = weights[t];
#pragma unroll
        for (int k = 0; k < kOut; ++k) sum[k] = fastimg::weigh(sum[k], weight, line[start[k] + t]);
      }
    } else {
      for (int t = 0; t < taps; ++t) {
        const C weight = weights[t];
#pragma unroll
        for (int k = 0; k < kOut; ++k) sum[k] = fastimg::weigh(sum[k], weight, line[from[k][t]]);
      }
    }
#pragma unroll
    for (int k = 0; k < kOut; ++k)
      if (begin + k * (int)blockDim.x < n) out[row * n + begin + k * (int)blockDim.x] = sum[k];
  }
}

}  // namespace

#define FASTIMG_ACROSS(name, T, C)                                                                       \
  extern "C" __global__ void across_##name(const T* in, C* out, int n, long long inner, long long outer, \
                                           const C* weights, const long long* source, int taps) {        \
    filter_across(in, out, n, inner, outer, weights, source, taps);                                      \
  }
#define FASTIMG_ALONG(name, C)                                                                          \
  extern "C" __global__ void along_##name(const C* in, C* out, int n, long long rows, const C* weights, \
                                          const long long* source, int taps) {                          \
    filter_along(in, out, n, rows, weights, source, taps);                                              \
  }
FASTIMG_ACROSS(int8_float32, signed char, float)
FASTIMG_ACROSS(uint8_float32, unsigned char, float)
FASTIMG_ACROSS(int16_float32, short, float)
FASTIMG_ACROSS(uint16_float32, unsigned short, float)
FASTIMG_ACROSS(float32_float32, float, float)
FASTIMG_ACROSS(int32_float64, int, double)
FASTIMG_ACROSS(uint32_float64, unsigned int, double)
FASTIMG_ACROSS(int64_float64, long long, double)
FASTIMG_ACROSS(uint64_float64, unsigned long long, double)
FASTIMG_ACROSS(float64_float64, double, double)
FASTIMG_ALONG(float32, float)
FASTIMG_ALONG(float64, double)
