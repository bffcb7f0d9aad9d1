// Included once in each level's region: no include guard, no standard header.
#include "fastimg/chacha20.cuh"
#include "fastimg/fixed_point.cuh"

namespace fastimg::secagg::FASTIMG_LEVEL {
namespace {

void wipe(void* memory, std::size_t bytes) {
  std::memset(memory, 0, bytes);
  __asm__ __volatile__("" : : "r"(memory) : "memory");
}

template <class W>
void add_buffer(W* words, const void* buffer, std::int64_t count, bool minus) {
  const char* bytes = static_cast<const char*>(buffer);
  const W flip = minus ? ~W{0} : W{0};  // -x = ~x + 1
  for (std::int64_t i = 0; i < count; ++i) {
    W word;
    std::memcpy(&word, bytes + i * sizeof(W), sizeof(W));
    words[i] += (word ^ flip) - flip;
  }
}

// clang-format off: order matters
#include "secagg/aes_sbox.hpp"
#include "secagg/aes_slice.hpp"
// clang-format on

using Wide = std::uint64_t __attribute__((vector_size(FASTIMG_BYTES)));
using Wide32 = std::uint32_t __attribute__((vector_size(FASTIMG_BYTES)));
using Lanes = int __attribute__((vector_size(FASTIMG_BYTES)));

#ifdef FASTIMG_AESNI
#include "secagg/aes_rounds.hpp"
#endif

template <class W>
void sliced(W* words, std::int64_t count, const Stream& stream, const Run&, std::uint32_t block) {
  sliced_add<Wide>(words, count, stream, block);
}

template <class W>
void aes(W* words, std::int64_t count, const Stream& stream, const Run& run, std::uint32_t block) {
#ifdef FASTIMG_VAES
  if (has_vaes())
    return stream.minus ? rounds_add<__m512i, true>(words, count, stream, run, block)
                        : rounds_add<__m512i, false>(words, count, stream, run, block);
#endif
#ifdef FASTIMG_AESNI
  if (has_aes())
    return stream.minus ? rounds_add<__m128i, true>(words, count, stream, run, block)
                        : rounds_add<__m128i, false>(words, count, stream, run, block);
#endif
  sliced(words, count, stream, run, block);
}

// Nothing where the bit slices do the work.
void prepare(const Stream& stream, int blocks, Run* run) {
#ifdef FASTIMG_VAES
  if (has_vaes()) return second_rounds<__m512i>(stream, blocks, run);
#endif
#ifdef FASTIMG_AESNI
  if (has_aes()) return second_rounds<__m128i>(stream, blocks, run);
#endif
  (void)stream, (void)blocks, (void)run;
}

// One step of Eklundh's transposition: the S-th bit of the lane and of the row change places.
template <int S>
FASTIMG_ATOM void exchange(Wide32& a, Wide32& b) {
  constexpr int kLanes = FASTIMG_BYTES / 4;
  Lanes first, second;
  for (int l = 0; l < kLanes; ++l) {
    first[l] = l & S ? kLanes + l - S : l;
    second[l] = l & S ? kLanes + l : l + S;
  }
  const Wide32 top = __builtin_shuffle(a, b, first), bottom = __builtin_shuffle(a, b, second);
  a = top;
  b = bottom;
}

template <int S>
FASTIMG_ATOM void exchange_all(Wide32 (&x)[16]) {
  for (int i = 0; i < 16; ++i)
    if (!(i & S)) exchange<S>(x[i], x[i + S]);
}

// One lane a block: kLanes blocks in a pass, then turned into the order of the keystream.
template <class W>
void chacha(W* words, std::int64_t count, const Stream& stream, const Run&, std::uint32_t block) {
  constexpr int kLanes = FASTIMG_BYTES / 4, kWords = 64 * kLanes / sizeof(W);
  Wide32 first[16], x[16], out[16];
  for (int i = 0; i < 4; ++i) first[i] = Wide32{} + chacha_constant(i);
  for (int i = 0; i < 8; ++i) first[4 + i] = Wide32{} + stream.key[i];
  for (int l = 0; l < kLanes; ++l) first[12][l] = block + l;
  for (int i = 13; i < 16; ++i) first[i] = Wide32{};
  for (std::int64_t at = 0; at < count; at += kWords) {
    for (int i = 0; i < 16; ++i) x[i] = first[i];
    chacha_rounds(x);
    for (int i = 0; i < 16; ++i) x[i] += first[i];
    first[12] += kLanes;
    exchange_all<1>(x);
    exchange_all<2>(x);
    if constexpr (kLanes > 4) exchange_all<4>(x);
    if constexpr (kLanes > 8) exchange_all<8>(x);
    for (int l = 0; l < kLanes; ++l)  // block l: words l, kLanes + l, ... of 16 / kLanes vectors
      for (int part = 0; part < 16 / kLanes; ++part) out[l * (16 / kLanes) + part] = x[part * kLanes + l];
    add_buffer(words + at, out, count - at < kWords ? count - at : kWords, stream.minus);
  }
}

FASTIMG_ATOM float bound_of(const Fixed& fixed, float) { return fixed.narrow_clip; }
FASTIMG_ATOM double bound_of(const Fixed& fixed, double) { return fixed.clip; }

// How many values are not within the bound: NaN too. Counters as wide as T, so that both have equally many lanes.
template <class T, class Counter>
std::int64_t outside(const T* __restrict in, std::int64_t count, T bound) {
  Counter inside = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const T size = in[i] < 0 ? -in[i] : in[i];
    inside += size <= bound ? 1 : 0;
  }
  return count - inside;
}

// A tile at most. Most tiles hold nothing to clip: they are looked at once in T and converted without selections, which
// changes nothing as long as |x| <= clip gives |x * scale| < limit + 0.5.
template <class T, class W>
Counts quantise(const T* __restrict in, W* __restrict out, std::int64_t count, const Fixed& fixed) {
  using Counter = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  const double scale = fixed.scale, limit = fixed.limit, clip = fixed.clip;
  if (limit < 562949953421312.0 && outside<T, Counter>(in, count, bound_of(fixed, T{})) == 0) {  // 2^49
    for (std::int64_t i = 0; i < count; ++i)
      out[i] = static_cast<W>(fastimg::fixed_point_inside(static_cast<double>(in[i]), scale));
    return {0, 0};
  }
  std::int64_t clipped = 0, bad = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double x = static_cast<double>(in[i]);
    clipped += (x > clip) | (x < -clip);
    bad += !fastimg::is_finite(x);
    out[i] = static_cast<W>(fastimg::fixed_point(x, scale, limit));
  }
  return {clipped, bad};
}

template <class T, class W>
Counts dither(const T* __restrict in, const W* __restrict random, W* __restrict out, std::int64_t count,
              const Fixed& fixed) {
  const double scale = fixed.scale, limit = fixed.limit, clip = fixed.clip;
  std::int64_t clipped = 0, bad = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double x = static_cast<double>(in[i]);
    clipped += (x > clip) | (x < -clip);
    bad += !fastimg::is_finite(x);
    out[i] = static_cast<W>(fastimg::fixed_point_stochastic(x, scale, limit, static_cast<std::uint32_t>(random[i])));
  }
  return {clipped, bad};
}

template <class T, class W>
Counts widen(const T* __restrict in, W* __restrict out, std::int64_t count, const Fixed&) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<W>(in[i]);
  return {0, 0};
}

using u32 = std::uint32_t;
using u64 = std::uint64_t;

// Bits on their way to memory, lowest first.
struct BitWriter {
  std::uint8_t* to;
  u64 held;
  int have;  // bits in held, below 64
};

FASTIMG_ATOM void append(BitWriter& w, u64 word, int size) {
  w.held |= word << w.have;
  const int have = w.have + size;
  if (have >= 64) {
    std::memcpy(w.to, &w.held, 8);
    w.to += 8;
    w.held = (word >> 1) >> (63 - w.have);
    w.have = have - 64;
  } else {
    w.have = have;
  }
}

// Lowest bits first, without gaps; words of 32 bits are joined two by two before, many at a time. The tile is used up.
template <class W>
void pack_words(W* tile, std::int64_t count, int bits, std::uint8_t* to) {
  const u64 mask = ~u64{0} >> (64 - bits);
  BitWriter writer{to, 0, 0};
  if constexpr (sizeof(W) == 4) {
    const std::int64_t pairs = count / 2;
    const int twice = 2 * bits;
    u64 joined[256];
    for (std::int64_t at = 0; at < pairs; at += 256) {
      const std::int64_t some = pairs - at < 256 ? pairs - at : 256;
      std::memcpy(joined, tile + 2 * at, 8 * some);
      for (std::int64_t i = 0; i < some; ++i) joined[i] = (joined[i] & mask) | ((joined[i] >> 32) & mask) << bits;
      for (std::int64_t i = 0; i < some; ++i) append(writer, joined[i], twice);
    }
    if (count % 2) append(writer, tile[count - 1] & mask, bits);
    wipe(joined, sizeof joined);
  } else {
    for (std::int64_t i = 0; i < count; ++i) append(writer, tile[i] & mask, bits);
  }
  std::memcpy(writer.to, &writer.held, (writer.have + 7) / 8);
}

}  // namespace

extern const MaskTable mask_table;
const MaskTable mask_table = {
    prepare,
    aes<u32>,
    sliced<u32>,
    chacha<u32>,
    aes<u64>,
    sliced<u64>,
    chacha<u64>,
    quantise<float, u32>,
    quantise<float, u64>,
    quantise<double, u32>,
    quantise<double, u64>,
    widen<u32, u32>,
    widen<u32, u64>,
    widen<u64, u64>,
    dither<float, u32>,
    dither<float, u64>,
    dither<double, u32>,
    dither<double, u64>,
    pack_words<u32>,
    pack_words<u64>,
};

}  // namespace fastimg::secagg::FASTIMG_LEVEL
