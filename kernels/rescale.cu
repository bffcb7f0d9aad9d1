// One thread a voxel; grid-stride.
#include "fastimg/rescale.cuh"

namespace {

template <class T>
__device__ void rescale_each(const T* in, float* out, fastimg::i64 count, int left, int right, double slope,
                             double intercept) {
  const fastimg::i64 step = (fastimg::i64)gridDim.x * blockDim.x;
  for (fastimg::i64 i = (fastimg::i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step)
    out[i] = fastimg::rescale((double)fastimg::stored_bits(in[i], left, right), slope, intercept);
}

}  // namespace

#define FASTIMG_ENTRY(name, T)                                                                             \
  extern "C" __global__ void rescale_##name(const T* in, float* out, long long count, int left, int right, \
                                            double slope, double intercept) {                              \
    rescale_each(in, out, count, left, right, slope, intercept);                                           \
  }
FASTIMG_ENTRY(int8, signed char)
FASTIMG_ENTRY(uint8, unsigned char)
FASTIMG_ENTRY(int16, short)
FASTIMG_ENTRY(uint16, unsigned short)
FASTIMG_ENTRY(int32, int)
FASTIMG_ENTRY(uint32, unsigned int)
FASTIMG_ENTRY(float32, float)
FASTIMG_ENTRY(float64, double)
