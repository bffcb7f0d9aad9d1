// Whoever sees NaN says so in `holes`.
#include "fastimg/each.cuh"
#include "fastimg/window.cuh"

namespace {

template <class T>
__device__ void window_each(const T* in, float* out, fastimg::i64 count, float low, float high, float scale,
                            int* holes) {
  bool seen = false;
  fastimg::each(in, out, count, [&](T value) {
    const float x = (float)value;
    seen |= x != x;
    return fastimg::window(x, low, high, scale);
  });
  if (seen) atomicOr(holes, 1);
}

}  // namespace

#define FASTIMG_ENTRY(name, T)                                                                              \
  extern "C" __global__ void window_##name(const T* in, float* out, long long count, float low, float high, \
                                           float scale, int* holes) {                                       \
    window_each(in, out, count, low, high, scale, holes);                                                   \
  }
FASTIMG_ENTRY(int8, signed char)
FASTIMG_ENTRY(uint8, unsigned char)
FASTIMG_ENTRY(int16, short)
FASTIMG_ENTRY(uint16, unsigned short)
FASTIMG_ENTRY(int32, int)
FASTIMG_ENTRY(float32, float)
FASTIMG_ENTRY(float64, double)
