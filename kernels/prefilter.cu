// B-spline coefficients along one axis: one thread a block of a line; see kernels/fastimg/bspline.cuh.
#include "fastimg/bspline.cuh"

namespace {

using fastimg::i64;
constexpr int kRoom = fastimg::kSplineBlock + 2 * 48;  // horizons are below 48

// `lines` lines of n samples, `stride` apart; line l starts at (l / inner) * n * inner + l % inner.
template <class T, class C>
__device__ void prefilter_each(const T* in, C* out, i64 lines, i64 n, i64 inner, C pole, C start, C end, C gain,
                               int horizon) {
  const i64 blocks = (n + fastimg::kSplineBlock - 1) / fastimg::kSplineBlock, step = (i64)gridDim.x * blockDim.x;
  C f[kRoom];
  for (i64 work = (i64)blockIdx.x * blockDim.x + threadIdx.x; work < lines * blocks; work += step) {
    const i64 line = work % lines, first = work / lines * fastimg::kSplineBlock, left = n - first;
    const int length = left < fastimg::kSplineBlock ? (int)left : fastimg::kSplineBlock, total = length + 2 * horizon;
    const i64 origin = line / inner * n * inner + line % inner;
    const auto sample = [&](int r) { return (C)in[origin + fastimg::mirrored(first - horizon + r, n) * inner] * gain; };
    f[0] = fastimg::forward_start(sample(0), start);
    for (int r = 1; r < total; ++r) f[r] = fastimg::forward(sample(r), f[r - 1], pole);
    C c = fastimg::backward_start(f[total - 1], end);
    for (int r = total - 2; r >= horizon; --r) {
      c = fastimg::backward(f[r], c, pole);
      if (r < horizon + length) out[origin + (first + r - horizon) * inner] = c;
    }
  }
}

}  // namespace

#define FASTIMG_PREFILTER(name, T, C)                                                                             \
  extern "C" __global__ void prefilter_##name(const T* in, C* out, long long lines, long long n, long long inner, \
                                              C pole, C start, C end, C gain, int horizon) {                      \
    prefilter_each(in, out, lines, n, inner, pole, start, end, gain, horizon);                                    \
  }
#define FASTIMG_BOTH(name, T)                 \
  FASTIMG_PREFILTER(name##_float32, T, float) \
  FASTIMG_PREFILTER(name##_float64, T, double)
FASTIMG_BOTH(int8, signed char)
FASTIMG_BOTH(uint8, unsigned char)
FASTIMG_BOTH(int16, short)
FASTIMG_BOTH(uint16, unsigned short)
FASTIMG_PREFILTER(float32_float32, float, float)
FASTIMG_PREFILTER(int32_float64, int, double)
FASTIMG_PREFILTER(uint32_float64, unsigned int, double)
FASTIMG_PREFILTER(int64_float64, long long, double)
FASTIMG_PREFILTER(uint64_float64, unsigned long long, double)
FASTIMG_PREFILTER(float64_float64, double, double)
