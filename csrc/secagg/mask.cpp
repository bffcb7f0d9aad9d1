#include "secagg/mask.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <type_traits>

namespace fastimg::secagg {
namespace {

constexpr std::int64_t kTile = 1 << 14;  // bytes: stays in the first-level cache while every mask is added
constexpr std::int64_t kGrain = 16;      // tiles a chunk

template <class W>
AddStream<W> adder(const MaskTable& t, Prg prg, bool portable) {
  if constexpr (sizeof(W) == 4)
    return prg == Prg::chacha20 ? t.chacha32 : portable ? t.sliced32 : t.aes32;
  else
    return prg == Prg::chacha20 ? t.chacha64 : portable ? t.sliced64 : t.aes64;
}

auto ditherer(const MaskTable& t, const float*, std::uint32_t*) { return t.dither_f32_u32; }
auto ditherer(const MaskTable& t, const float*, std::uint64_t*) { return t.dither_f32_u64; }
auto ditherer(const MaskTable& t, const double*, std::uint32_t*) { return t.dither_f64_u32; }
auto ditherer(const MaskTable& t, const double*, std::uint64_t*) { return t.dither_f64_u64; }

auto quantiser(const MaskTable& t, const float*, std::uint32_t*) { return t.f32_u32; }
auto quantiser(const MaskTable& t, const float*, std::uint64_t*) { return t.f32_u64; }
auto quantiser(const MaskTable& t, const double*, std::uint32_t*) { return t.f64_u32; }
auto quantiser(const MaskTable& t, const double*, std::uint64_t*) { return t.f64_u64; }
auto quantiser(const MaskTable& t, const std::uint32_t*, std::uint32_t*) { return t.u32_u32; }
auto quantiser(const MaskTable& t, const std::uint32_t*, std::uint64_t*) { return t.u32_u64; }
auto quantiser(const MaskTable& t, const std::uint64_t*, std::uint64_t*) { return t.u64_u64; }

}  // namespace

#ifdef FASTIMG_X86
bool has_aes() {
  static const bool yes = (__builtin_cpu_init(), __builtin_cpu_supports("aes"));
  return yes;
}
bool has_vaes() {
  static const bool yes = (__builtin_cpu_init(), __builtin_cpu_supports("vaes"));
  return yes;
}
#else
bool has_aes() { return false; }
bool has_vaes() { return false; }
#endif

template <class T, class W>
Counts mask(const T* in, W* out, std::int64_t count, std::int64_t offset, const std::vector<Stream>& streams,
            const Stream* dither, Prg prg, bool portable, const Fixed& fixed, int threads) {
  constexpr std::int64_t kWords = kTile / static_cast<std::int64_t>(sizeof(W));
  const MaskTable& table = FASTIMG_PICK(mask_table);
  const auto add = adder<W>(table, prg, portable);
  const auto convert = quantiser(table, in, out);
  const std::int64_t block = prg == Prg::chacha20 ? 64 : 16;
  const std::int64_t first = offset / kWords, tiles = (offset + count + kWords - 1) / kWords - first;
  std::atomic<std::int64_t> clipped{0}, bad{0};
  cpu::parallel_for(tiles, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
    Counts sum{0, 0};
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t tile = (first + t) * kWords;  // word of the keystream
      const std::int64_t from = std::max(tile, offset), to = std::min(tile + kWords, offset + count);
      W* words = out + (from - offset);
      const std::uint32_t at = static_cast<std::uint32_t>(tile * static_cast<std::int64_t>(sizeof(W)) / block);
      if (in) {
        Counts here{0, 0};
        if constexpr (std::is_floating_point_v<T>) {
          if (dither) {
            alignas(64) W random[kWords];
            std::memset(random, 0, sizeof random);
            add(random, to - tile, *dither, at);
            here = ditherer(table, in, out)(in + (from - offset), random + (from - tile), words, to - from, fixed);
            std::memset(random, 0, sizeof random);
            __asm__ __volatile__("" : : "r"(random) : "memory");
          } else {
            here = convert(in + (from - offset), words, to - from, fixed);
          }
        } else {
          here = convert(in + (from - offset), words, to - from, fixed);
        }
        sum.clipped += here.clipped;
        sum.bad += here.bad;
      }
      if (from == tile) {
        for (const Stream& stream : streams) add(words, to - from, stream, at);
      } else {  // the vector starts inside a tile: the masks' sum is made beside it
        alignas(64) W beside[kWords];
        std::memset(beside, 0, sizeof beside);
        for (const Stream& stream : streams) add(beside, to - tile, stream, at);
        for (std::int64_t i = from; i < to; ++i) words[i - from] += beside[i - tile];
        std::memset(beside, 0, sizeof beside);
        __asm__ __volatile__("" : : "r"(beside) : "memory");
      }
    }
    clipped += sum.clipped;
    bad += sum.bad;
  });
  return {clipped, bad};
}

#define FASTIMG_MASK(T, W)                                                                                             \
  template Counts mask(const T*, W*, std::int64_t, std::int64_t, const std::vector<Stream>&, const Stream*, Prg, bool, \
                       const Fixed&, int);
FASTIMG_MASK(float, std::uint32_t)
FASTIMG_MASK(float, std::uint64_t)
FASTIMG_MASK(double, std::uint32_t)
FASTIMG_MASK(double, std::uint64_t)
FASTIMG_MASK(std::uint32_t, std::uint32_t)
FASTIMG_MASK(std::uint32_t, std::uint64_t)
FASTIMG_MASK(std::uint64_t, std::uint64_t)

}  // namespace fastimg::secagg
