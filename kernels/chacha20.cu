// Fixed point + all pairwise masks, one thread a 64-byte block of the keystream: every mask is added in registers, so
// the vector is read once and written once however many masks there are. A thread's block lies together in memory, a
// warp's accesses should: the keystream changes hands in shared memory, the vector is read and written 16 bytes a
// thread.
//
// seeds: (masks, 8) words; signs: +1 or -1; block: the keystream's block of out[0]; dither: 8 words of the seed that
// rounds at random, or null; counts: {clipped, not finite}.
// Limit: of the 976 integer operations a block and mask the 640 exclusive-ors and rotations run on the ALU pipe, 64
// lanes a clock and multiprocessor (H100), the additions on the multiplier's beside it: 10 clocks. With one mask that
// is about the time of its 128 bytes of traffic, with more masks it is all. Rotating by the multiplier (IMAD.WIDE, its
// halves merged by their users) was tried to even the pipes out and is slower: it takes two of its slots.
#include "fastimg/chacha20.cuh"
#include "fastimg/fixed_point.cuh"

namespace {

using fastimg::i64;
using fastimg::u32;
using fastimg::u64;

constexpr int kThreads = 128;

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

// 16 bytes of a tile's keystream, in the order of the result; blocks are written by their threads, and read by all. The
// exclusive-or spreads both over all banks.
struct alignas(16) Chunk {
  u32 at[4];
};
__device__ int place_of(int chunk) { return chunk ^ (chunk >> 3 & 3); }

__device__ void stage_block(const u32 (&sum)[16], Chunk* stage) {
#pragma unroll
  for (int q = 0; q < 4; ++q) {
    const Chunk chunk = {{sum[4 * q], sum[4 * q + 1], sum[4 * q + 2], sum[4 * q + 3]}};
    stage[place_of(4 * (int)threadIdx.x + q)] = chunk;
  }
}
__device__ void stage_block(const u64 (&sum)[8], Chunk* stage) {
  u32 words[16];
#pragma unroll
  for (int i = 0; i < 8; ++i) words[2 * i] = (u32)sum[i], words[2 * i + 1] = (u32)(sum[i] >> 32);
  stage_block(words, stage);
}

__device__ u32 word_at(const Chunk& chunk, int i, u32) { return chunk.at[i]; }
__device__ u64 word_at(const Chunk& chunk, int i, u64) { return (u64)chunk.at[2 * i] | (u64)chunk.at[2 * i + 1] << 32; }

template <class T, int kCount>
struct alignas(sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16) Some {
  T at[kCount];
};

template <class T, class W>
__device__ void mask_blocks(const T* in, W* out, i64 count, u32 block, const u32* seeds, const signed char* signs,
                            int masks, const Fixed& fixed, const u32* dither, u64* counts) {
  constexpr int kEach = 16 / (int)sizeof(W), kWords = 4 * kEach, kSkip = (int)sizeof(W) / 4;
  __shared__ Chunk stage[4 * kThreads];
  const u32 nonce[3] = {0, 0, 0};
  const int me = (int)threadIdx.x;
  constexpr bool kReal = T(0.5) != T(0);  // whole numbers are not rounded
  const bool aligned = (((u64)in | (u64)out) & 15) == 0;
  u64 clipped = 0, bad = 0;
  for (i64 tile = blockIdx.x; tile * kThreads * kWords < count; tile += gridDim.x) {
    const u32 mine = block + (u32)(tile * kThreads) + (u32)me;
    const bool whole = aligned && (tile + 1) * kThreads * kWords <= count;
    u32 key[16], random[4 * kEach];
    if (kReal && dither) {
      fastimg::chacha_block(dither, mine, nonce, key);
      stage_block(key, stage);
      __syncthreads();
#pragma unroll
      for (int s = 0; s < 4; ++s) {
        const Chunk chunk = stage[place_of(s * kThreads + me)];
#pragma unroll
        for (int i = 0; i < kEach; ++i) random[s * kEach + i] = chunk.at[i * kSkip];
      }
      __syncthreads();
    }
    W sum[kWords];
#pragma unroll
    for (int i = 0; i < kWords; ++i) sum[i] = 0;
    for (int m = 0; m < masks; ++m) {
      fastimg::chacha_block(seeds + 8 * m, mine, nonce, key);
      add_words(sum, key, signs[m] < 0);
    }
    stage_block(sum, stage);
    __syncthreads();
#pragma unroll
    for (int s = 0; s < 4; ++s) {
      const i64 first = tile * kThreads * kWords + (i64)(s * kThreads + me) * kEach;
      const i64 left = count - first;
      if (left <= 0) continue;
      const Chunk chunk = stage[place_of(s * kThreads + me)];
      Some<T, kEach> values;
      if (whole) {
        values = *(const Some<T, kEach>*)(in + first);
      } else {
#pragma unroll
        for (int i = 0; i < kEach; ++i) values.at[i] = i < left ? in[first + i] : T(0);
      }
      Some<W, kEach> words;
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const T x = values.at[i];
        const W word = kReal && dither ? (W)random_word_of(x, fixed, random[s * kEach + i]) : (W)word_of(x, fixed);
        words.at[i] = word + word_at(chunk, i, W());
        judge(x, fixed, clipped, bad);
      }
      if (whole) {
        *(Some<W, kEach>*)(out + first) = words;
      } else {
#pragma unroll
        for (int i = 0; i < kEach; ++i)
          if (i < left) out[first + i] = words.at[i];
      }
    }
    __syncthreads();
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
