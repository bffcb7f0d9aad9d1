// Fixed point + all pairwise masks, one thread a 64-byte block of the keystream: every mask is added in registers, so
// the vector is read once and written once however many masks there are.
//
// seeds: (masks, 8) words; signs: +1 or -1; block: the keystream's block of out[0]; dither: 8 words of the seed that
// rounds at random, or null; counts: {clipped, not finite}. Whole blocks of 16-byte-aligned arrays move in quads.
// Limit: 976 integer operations a block and mask. With one mask that is about the time of its 128 bytes of traffic (at
// 64 operations a clock and multiprocessor: 15 clocks a block), with more masks it is all.
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

__device__ i64 random_word_of(float x, const Fixed& f, u32 r) {
  return fastimg::fixed_point_stochastic((double)x, f.scale, f.limit, r);
}
__device__ i64 random_word_of(double x, const Fixed& f, u32 r) {
  return fastimg::fixed_point_stochastic(x, f.scale, f.limit, r);
}
__device__ u64 random_word_of(u32 x, const Fixed&, u32) { return x; }
__device__ u64 random_word_of(u64 x, const Fixed&, u32) { return x; }

template <class T>
struct alignas(16) Quad {
  T at[16 / sizeof(T)];
};

// `kCount` values between an aligned address and registers.
template <int kCount, class T>
__device__ void load(const T* from, T (&to)[kCount]) {
  constexpr int kEach = 16 / (int)sizeof(T);
#pragma unroll
  for (int q = 0; q < kCount / kEach; ++q) {
    const Quad<T> quad = ((const Quad<T>*)from)[q];
#pragma unroll
    for (int i = 0; i < kEach; ++i) to[q * kEach + i] = quad.at[i];
  }
}
template <int kCount, class T>
__device__ void store(T* to, const T (&from)[kCount]) {
  constexpr int kEach = 16 / (int)sizeof(T);
#pragma unroll
  for (int q = 0; q < kCount / kEach; ++q) {
    Quad<T> quad;
#pragma unroll
    for (int i = 0; i < kEach; ++i) quad.at[i] = from[q * kEach + i];
    ((Quad<T>*)to)[q] = quad;
  }
}

__device__ bool aligned(const void* address) { return ((u64)address & 15) == 0; }

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
                            int masks, const Fixed& fixed, const u32* dither, u64* counts) {
  constexpr int kWords = 64 / (int)sizeof(W);
  const u32 nonce[3] = {0, 0, 0};
  const i64 blocks = (count + kWords - 1) / kWords, step = (i64)gridDim.x * blockDim.x;
  const bool quads = aligned(in) && aligned(out);
  u64 clipped = 0, bad = 0;
  for (i64 b = (i64)blockIdx.x * blockDim.x + threadIdx.x; b < blocks; b += step) {
    const T* from = in + b * kWords;
    W* to = out + b * kWords;
    const int here = count - b * kWords < kWords ? (int)(count - b * kWords) : kWords;
    T values[kWords];
    if (quads && here == kWords) {
      load<kWords>(from, values);
    } else {
#pragma unroll
      for (int i = 0; i < kWords; ++i) values[i] = i < here ? from[i] : T(0);
    }
    W sum[kWords];
    u32 key[16];
    if (dither) {
      fastimg::chacha_block(dither, block + (u32)b, nonce, key);
#pragma unroll
      for (int i = 0; i < kWords; ++i) sum[i] = (W)random_word_of(values[i], fixed, key[i * (int)sizeof(W) / 4]);
    } else {
#pragma unroll
      for (int i = 0; i < kWords; ++i) sum[i] = (W)word_of(values[i], fixed);
    }
#pragma unroll
    for (int i = 0; i < kWords; ++i) judge(values[i], fixed, clipped, bad);
    for (int m = 0; m < masks; ++m) {
      fastimg::chacha_block(seeds + 8 * m, block + (u32)b, nonce, key);
      add_words(sum, key, signs[m] < 0);
    }
    if (quads && here == kWords) {
      store<kWords>(to, sum);
    } else {
#pragma unroll
      for (int i = 0; i < kWords; ++i)
        if (i < here) to[i] = sum[i];
    }
  }
  if (clipped) atomicAdd(counts, clipped);
  if (bad) atomicAdd(counts + 1, bad);
}

}  // namespace

#define FASTIMG_ENTRY(name, T, W)                                                                                      \
  extern "C" __global__ void mask_##name(const T* in, W* out, long long count, unsigned int block,                     \
                                         const unsigned int* seeds, const signed char* signs, int masks, double scale, \
                                         double limit, double clip, const unsigned int* dither, int dithered,          \
                                         unsigned long long* counts) {                                                 \
    mask_blocks(in, out, count, block, seeds, signs, masks, Fixed{scale, limit, clip}, dithered ? dither : nullptr,    \
                counts);                                                                                               \
  }
FASTIMG_ENTRY(float32_uint32, float, unsigned int)
FASTIMG_ENTRY(float32_uint64, float, unsigned long long)
FASTIMG_ENTRY(float64_uint32, double, unsigned int)
FASTIMG_ENTRY(float64_uint64, double, unsigned long long)
FASTIMG_ENTRY(uint32_uint32, unsigned int, unsigned int)
FASTIMG_ENTRY(uint32_uint64, unsigned int, unsigned long long)
FASTIMG_ENTRY(uint64_uint64, unsigned long long, unsigned long long)
