// Stored values to modality units.
#include "fastimg/each.cuh"
#include "fastimg/rescale.cuh"

namespace {

template <class T>
__device__ void rescale_each(const T* in, float* out, fastimg::i64 count, int left, int right, double slope,
                             double intercept) {
  fastimg::each(in, out, count, [=](T word) {
    return fastimg::rescale((double)fastimg::stored_bits(word, left, right), slope, intercept);
  });
}

// Stored values beyond the table take its nearest entry (PS3.3 C.11.1.1.1).
template <class T>
__device__ void lookup_each(const T* in, float* out, fastimg::i64 count, fastimg::i64 first, const float* table,
                            fastimg::i64 entries) {
  fastimg::each(in, out, count, [=](T word) {
    const fastimg::i64 at = (fastimg::i64)word - first;
    return table[at < 0 ? 0 : at < entries ? at : entries - 1];
  });
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

#define FASTIMG_LOOKUP(name, T)                                                                       \
  extern "C" __global__ void lookup_##name(const T* in, float* out, long long count, long long first, \
                                           const float* table, long long entries) {                   \
    lookup_each(in, out, count, first, table, entries);                                               \
  }
FASTIMG_LOOKUP(int8, signed char)
FASTIMG_LOOKUP(uint8, unsigned char)
FASTIMG_LOOKUP(int16, short)
FASTIMG_LOOKUP(uint16, unsigned short)
FASTIMG_LOOKUP(int32, int)
FASTIMG_LOOKUP(uint32, unsigned int)
