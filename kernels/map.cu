// Voxel-wise maps to float32.
#include "fastimg/affine.cuh"
#include "fastimg/each.cuh"
#include "fastimg/piecewise.cuh"

namespace {

using fastimg::i64;

template <class T>
__device__ void affine_each(const T* in, float* out, i64 count, float shift, float scale) {
  fastimg::each(in, out, count, [=](T x) { return fastimg::affine((float)x, shift, scale); });
}

template <class T>
__device__ void piecewise_each(const T* in, float* out, i64 count, const float* knot, const float* level,
                               const float* slope, int knots) {
  fastimg::each(in, out, count, [=](T value) {
    const float x = (float)value;
    const int k = fastimg::segment(x, knot, knots);
    return fastimg::on_segment(x, knot[k], level[k], slope[k]);
  });
}

template <class T>
__device__ void lookup_each(const T* in, float* out, i64 count, const float* table, int least) {
  fastimg::each(in, out, count, [=](T x) { return table[(int)x - least]; });
}

}  // namespace

#define FASTIMG_ENTRY(name, T)                                                                                   \
  extern "C" __global__ void affine_##name(const T* in, float* out, long long count, float shift, float scale) { \
    affine_each(in, out, count, shift, scale);                                                                   \
  }                                                                                                              \
  extern "C" __global__ void piecewise_##name(const T* in, float* out, long long count, const float* knot,       \
                                              const float* level, const float* slope, int knots) {               \
    piecewise_each(in, out, count, knot, level, slope, knots);                                                   \
  }
#define FASTIMG_LOOKUP(name, T)                                                                                       \
  extern "C" __global__ void lookup_##name(const T* in, float* out, long long count, const float* table, int least) { \
    lookup_each(in, out, count, table, least);                                                                        \
  }
FASTIMG_ENTRY(int8, signed char)
FASTIMG_ENTRY(uint8, unsigned char)
FASTIMG_ENTRY(int16, short)
FASTIMG_ENTRY(uint16, unsigned short)
FASTIMG_ENTRY(int32, int)
FASTIMG_ENTRY(float32, float)
FASTIMG_ENTRY(float64, double)
FASTIMG_LOOKUP(int8, signed char)
FASTIMG_LOOKUP(uint8, unsigned char)
FASTIMG_LOOKUP(int16, short)
FASTIMG_LOOKUP(uint16, unsigned short)
