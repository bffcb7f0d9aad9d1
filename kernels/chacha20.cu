// Fixed point + all pairwise masks, one thread a 64-byte block of the keystream: every mask is added in registers, so
// the vector is read once and written once however many masks there are.
//
// seeds: (masks, 8) words; signs: +1 or -1; block: the keystream's block of out[0]; counts: {clipped, not finite}.
#include "fastimg/chacha20.cuh"
#include "fastimg/fixed_point.cuh"

namespace {

using fastimg::i64;
using fastimg::u32;
using fastimg::u64;

struct Fixed {
  double scale, limit, clip;
};

__device__ i64 word_of(float x, const Fixed& f) { return fastimg::fixed_point((double)x, f.scale, f.limit); }
__device__ i64 word_of(double x, const Fixed& f) { return fastimg::fixed_point(x, f.scale, f.limit); }
__device__ u64 word_of(u32 x, const Fixed&) { return x; }
__device__ u64 word_of(u64 x, const Fixed&) { return x; }

__device__ void judge(double x, const Fixed& f, u64& clipped, u64& bad) {
  if (!fastimg::is_finite(x))
    ++bad;
  else if (x > f.clip || x < -f.clip)
    ++clipped;
}
__device__ void judge(u32, const Fixed&, u64&, u64&) {}
__device__ void judge(u64, const Fixed&, u64&, u64&) {}

__device__ void add_words(u32 (&sum)[16], const u32 (&key)[16], bool minus) {
  for (int i = 0; i < 16; ++i) sum[i] = minus ? sum[i] - key[i] : sum[i] + key[i];
}
__device__ void add_words(u64 (&sum)[8], const u32 (&key)[16], bool minus) {
  for (int i = 0; i < 8; ++i) {
    const u64 word = (u64)key[2 * i] | (u64)key[2 * i + 1] << 32;
    sum[i] = minus ? sum[i] - word : sum[i] + word;
  }
}

template <class T, class W>
__device__ void mask_blocks(const T* in, W* out, i64 count, u32 block, const u32* seeds, const signed char* signs,
                            int masks, const Fixed& fixed, u64* counts) {
  constexpr int kWords = 64 / (int)sizeof(W);
  const u32 nonce[3] = {0, 0, 0};
  const i64 blocks = (count + kWords - 1) / kWords, step = (i64)gridDim.x * blockDim.x;
  u64 clipped = 0, bad = 0;
  for (i64 b = (i64)blockIdx.x * blockDim.x + threadIdx.x; b < blocks; b += step) {
    W sum[kWords];
    const int here = count - b * kWords < kWords ? (int)(count - b * kWords) : kWords;
    for (int i = 0; i < kWords; ++i) {
      sum[i] = 0;
      if (i < here) {
        judge(in[b * kWords + i], fixed, clipped, bad);
        sum[i] = (W)word_of(in[b * kWords + i], fixed);
      }
    }
    for (int m = 0; m < masks; ++m) {
      u32 key[16];
      fastimg::chacha_block(seeds + 8 * m, block + (u32)b, nonce, key);
      add_words(sum, key, signs[m] < 0);
    }
    for (int i = 0; i < kWords; ++i)
      if (i < here) out[b * kWords + i] = sum[i];
  }
  if (clipped) atomicAdd(counts, clipped);
  if (bad) atomicAdd(counts + 1, bad);
}

}  // namespace

#define FASTIMG_ENTRY(name, T, W)                                                                                      \
  extern "C" __global__ void mask_##name(const T* in, W* out, long long count, unsigned int block,                     \
                                         const unsigned int* seeds, const signed char* signs, int masks, double scale, \
                                         double limit, double clip, unsigned long long* counts) {                      \
    mask_blocks(in, out, count, block, seeds, signs, masks, Fixed{scale, limit, clip}, counts);                        \
  }
FASTIMG_ENTRY(float32_uint32, float, unsigned int)
FASTIMG_ENTRY(float32_uint64, float, unsigned long long)
FASTIMG_ENTRY(float64_uint32, double, unsigned int)
FASTIMG_ENTRY(float64_uint64, double, unsigned long long)
FASTIMG_ENTRY(uint32_uint32, unsigned int, unsigned int)
FASTIMG_ENTRY(uint32_uint64, unsigned int, unsigned long long)
FASTIMG_ENTRY(uint64_uint64, unsigned long long, unsigned long long)
