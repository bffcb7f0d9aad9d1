// B-spline coefficients along one axis: a thread block takes a block of `wide` neighbouring lines into shared memory,
// one thread a line runs both recursions there; see kernels/fastimg/bspline.cuh. Each sample is read once (its horizon
// by two blocks) and each coefficient written once, neighbours together along whichever axis lies in a row.
#include "fastimg/bspline.cuh"
#include "fastimg/interpolate.cuh"

namespace {

using fastimg::i64;

// `lines` lines of n samples, `inner` apart; line l starts at (l / inner) * n * inner + l % inner.
template <class T, class C>
__device__ void prefilter_each(C* shared, const T* in, C* out, i64 lines, i64 n, i64 inner, int wide, C pole, C start,
                               C end, C gain, int horizon, fastimg::Intake<C> intake) {
  const i64 blocks = (n + fastimg::kSplineBlock - 1) / fastimg::kSplineBlock, groups = (lines + wide - 1) / wide;
  const int pitch = wide + 1;  // samples of a line fall on different banks
  const auto origin = [&](i64 line) { return line / inner * n * inner + line % inner; };
  for (i64 work = blockIdx.x; work < groups * blocks; work += gridDim.x) {
    const i64 base = work % groups * wide, first = work / groups * fastimg::kSplineBlock, left = n - first;
    const int length = left < fastimg::kSplineBlock ? (int)left : fastimg::kSplineBlock, total = length + 2 * horizon;
    const int count = lines - base < wide ? (int)(lines - base) : wide;
    // neighbours in memory: samples of a line where inner is 1, else lines
    for (int m = threadIdx.x; m < total * count; m += blockDim.x) {
      const int r = inner == 1 ? m % total : m / count, l = inner == 1 ? m / total : m % count;
      C v = (C)in[origin(base + l) + fastimg::mirrored(first - horizon + r, n) * inner];
      if (intake.on) v = fastimg::taken(v, intake);
      shared[r * pitch + l] = v * gain;
    }
    __syncthreads();
    if (threadIdx.x < (unsigned)count) {
      C* const f = shared + threadIdx.x;
      C v = fastimg::forward_start(f[0], start);
      f[0] = v;
      for (int r = 1; r < total; ++r) f[r * pitch] = v = fastimg::forward(f[r * pitch], v, pole);
      v = fastimg::backward_start(v, end);
      for (int r = total - 2; r >= horizon; --r) f[r * pitch] = v = fastimg::backward(f[r * pitch], v, pole);
    }
    __syncthreads();
    for (int m = threadIdx.x; m < length * count; m += blockDim.x) {
      const int r = inner == 1 ? m % length : m / count, l = inner == 1 ? m / length : m % count;
      out[origin(base + l) + (first + r) * inner] = shared[(r + horizon) * pitch + l];
    }
    __syncthreads();
  }
}

}  // namespace

#define FASTIMG_PREFILTER(name, T, C)                                                                             \
  extern "C" __global__ void prefilter_##name(const T* in, C* out, long long lines, long long n, long long inner, \
                                              int wide, C pole, C start, C end, C gain, int horizon, int take,    \
                                              C slope, C intercept, C low, C high) {                              \
    FASTIMG_DYNAMIC_SHARED(C, shared_##name);                                                                     \
    prefilter_each(shared_##name, in, out, lines, n, inner, wide, pole, start, end, gain, horizon,                \
                   {take, slope, intercept, low, high});                                                          \
  }
#define FASTIMG_BOTH(name, T)                 \
  FASTIMG_PREFILTER(name##_float32, T, float) \
  FASTIMG_PREFILTER(name##_float64, T, double)
FASTIMG_BOTH(int8, signed char)
FASTIMG_BOTH(uint8, unsigned char)
FASTIMG_BOTH(int16, short)
FASTIMG_BOTH(uint16, unsigned short)
FASTIMG_PREFILTER(float32_float32, float, float)
FASTIMG_PREFILTER(float32_float64, float, double)
FASTIMG_PREFILTER(int32_float64, int, double)
FASTIMG_PREFILTER(uint32_float64, unsigned int, double)
FASTIMG_PREFILTER(int64_float64, long long, double)
FASTIMG_PREFILTER(uint64_float64, unsigned long long, double)
FASTIMG_PREFILTER(float64_float64, double, double)
