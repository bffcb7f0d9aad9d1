// Fixed point + all masks in one tiled pass. A mask is the keystream of a seed as little-endian words: AES-128-CTR (key
// 16 bytes, nonce 12, counter 4 big-endian, SP 800-38A) or ChaCha20 (RFC 8439, nonce 0), counted from the vector's
// first word.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/pool.hpp"

namespace fastimg::secagg {

enum class Prg : int { aes128_ctr = 0, chacha20 = 1 };

// A seed made ready: AES round keys and nonce, or the ChaCha key. Wiped by its owner.
struct alignas(64) Stream {
  std::uint8_t round_keys[11 * 16];
  std::uint8_t nonce[12];
  std::uint32_t key[8];
  bool minus;
};

// What AES by instructions knows of a stream before it counts: see aes_rounds.hpp. As secret as the seed.
struct alignas(64) Run {
  std::uint8_t second[256 * 16];
};
using Prepare = void (*)(const Stream& stream, int blocks, Run* run);

// words[i] += or -= keystream, from 16-byte (AES) or 64-byte (ChaCha) block `block`, a multiple of the tile's. `run`:
// prepared for as many blocks as are added, in steps of 64 and 256 at most; only AES reads it.
template <class W>
using AddStream = void (*)(W* words, std::int64_t count, const Stream& stream, const Run& run, std::uint32_t block);

struct Fixed {
  double scale, limit, clip;
  float narrow_clip;  // the largest float that is not above clip
};
struct Counts {
  std::int64_t clipped, bad;
};
template <class T, class W>
using Quantise = Counts (*)(const T* in, W* out, std::int64_t count, const Fixed& fixed);
// random: a word of keystream a value; its low 32 bits decide which way a value is rounded.
template <class T, class W>
using Dither = Counts (*)(const T* in, const W* random, W* out, std::int64_t count, const Fixed& fixed);

// Where a tile may go once all masks are in it: packed to `bits` bits a word.
template <class W>
using PackTile = void (*)(W* tile, std::int64_t count, int bits, std::uint8_t* to);

struct MaskTable {
  Prepare prepare;
  AddStream<std::uint32_t> aes32, sliced32, chacha32;
  AddStream<std::uint64_t> aes64, sliced64, chacha64;
  Quantise<float, std::uint32_t> f32_u32;
  Quantise<float, std::uint64_t> f32_u64;
  Quantise<double, std::uint32_t> f64_u32;
  Quantise<double, std::uint64_t> f64_u64;
  Quantise<std::uint32_t, std::uint32_t> u32_u32;
  Quantise<std::uint32_t, std::uint64_t> u32_u64;
  Quantise<std::uint64_t, std::uint64_t> u64_u64;
  Dither<float, std::uint32_t> dither_f32_u32;
  Dither<float, std::uint64_t> dither_f32_u64;
  Dither<double, std::uint32_t> dither_f64_u32;
  Dither<double, std::uint64_t> dither_f64_u64;
  PackTile<std::uint32_t> pack32;
  PackTile<std::uint64_t> pack64;
};
FASTIMG_DECLARE_TABLE(MaskTable, mask_table)

// What the processor has beside its level; the AVX-512 level does not promise VAES, nor the AVX2 level AES.
bool has_aes();
bool has_vaes();

// The round keys of a 16-byte key, without tables.
void expand_key(const std::uint8_t* key, std::uint8_t* round_keys);

// out = fixed(in) + sum of masks, or (in == nullptr) out += sum of masks. `offset`: the word of the keystream at
// out[0]. dither: the stream that rounds floats at random, or nullptr for halves to even. packed (with in and offset
// 0): the words, cut to `bits` bits, go there as in pack.hpp, and out is not used.
template <class W>
struct Target {
  W* out;
  std::uint8_t* packed;
  int bits;
};
template <class T, class W>
Counts mask(const T* in, const Target<W>& target, std::int64_t count, std::int64_t offset,
            const std::vector<Stream>& streams, const Stream* dither, Prg prg, bool portable, const Fixed& fixed,
            int threads);

}  // namespace fastimg::secagg
