#include "secagg/mask.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <type_traits>

#include "cpu/past.hpp"

namespace fastimg::secagg {
namespace {

constexpr std::int64_t kTile = 1 << 14;   // bytes: stays in the first-level cache while every mask is added
constexpr std::int64_t kGrain = 16;       // tiles a chunk
constexpr std::int64_t kLarge = 1 << 22;  // bytes: a result that leaves the caches anyway is written past them

template <class W>
AddStream<W> adder(const MaskTable& t, Prg prg, bool portable) {
  if constexpr (sizeof(W) == 4)
    return prg == Prg::chacha20 ? t.chacha32 : portable ? t.sliced32 : t.aes32;
  else
    return prg == Prg::chacha20 ? t.chacha64 : portable ? t.sliced64 : t.aes64;
}

auto packer(const MaskTable& t, std::uint32_t*) { return t.pack32; }
auto packer(const MaskTable& t, std::uint64_t*) { return t.pack64; }

template <class W>
void wipe(W* words, std::size_t bytes) {
  std::memset(words, 0, bytes);
  __asm__ __volatile__("" : : "r"(words) : "memory");
}

// All streams of a vector, the one that rounds last, with what AES by instructions prepares: once for all tiles; where
// there is but one tile, when a stream's turn comes, in the same place.
template <class W>
class Streams {
 public:
  Streams(const MaskTable& table, const std::vector<Stream>& masks, const Stream* dither, Prg prg, bool portable,
          std::int64_t tiles, std::int64_t tile_bytes)
      : table_(table),
        masks_(masks),
        dither_(dither),
        add_(adder<W>(table, prg, portable)),
        by_rounds_(prg == Prg::aes128_ctr && !portable),
        once_(tiles <= 1 || !by_rounds_),
        blocks_(static_cast<int>(std::min<std::int64_t>(256, (tile_bytes + 1023) / 1024 * 64))),
        made_(once_ ? 1 : masks.size() + 1),
        runs_(new Run[made_]) {
    if (once_) return;
    for (std::size_t i = 0; i < masks.size() + (dither ? 1 : 0); ++i) table_.prepare(at(i), blocks_, &runs_[i]);
  }
  ~Streams() {
    if (by_rounds_) wipe(runs_.get(), made_ * sizeof(Run));
  }
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  void operator()(std::size_t i, W* words, std::int64_t count, std::uint32_t block) const {
    Run& run = runs_[once_ ? 0 : i];
    if (once_ && by_rounds_) table_.prepare(at(i), blocks_, &run);
    add_(words, count, at(i), run, block);
  }

 private:
  const Stream& at(std::size_t i) const { return i < masks_.size() ? masks_[i] : *dither_; }

  const MaskTable& table_;
  const std::vector<Stream>& masks_;
  const Stream* const dither_;
  const AddStream<W> add_;
  const bool by_rounds_, once_;
  const int blocks_;
  const std::size_t made_;
  const std::unique_ptr<Run[]> runs_;
};

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
Counts mask(const T* in, const Target<W>& target, std::int64_t count, std::int64_t offset,
            const std::vector<Stream>& streams, const Stream* dither, Prg prg, bool portable, const Fixed& fixed,
            int threads) {
  constexpr std::int64_t kWords = kTile / static_cast<std::int64_t>(sizeof(W));
  const MaskTable& table = FASTIMG_PICK(mask_table);
  W* const out = target.out;
  const auto convert = quantiser(table, in, out);
  const std::int64_t block = prg == Prg::chacha20 ? 64 : 16;
  const std::int64_t first = offset / kWords, tiles = (offset + count + kWords - 1) / kWords - first;
  const bool large = in && count * static_cast<std::int64_t>(sizeof(W)) >= kLarge;
  const bool inputs_overlap = static_cast<const void*>(in) == static_cast<const void*>(out);
  std::atomic<std::int64_t> clipped{0}, bad{0};
  const std::int64_t longest = std::min(kWords, offset % kWords + count);  // words of a tile
  const Streams<W> add(table, streams, dither, prg, portable, tiles, longest * static_cast<std::int64_t>(sizeof(W)));
  cpu::parallel_for(tiles, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
    alignas(64) W beside[kWords];  // a tile that is not made where it belongs
    Counts sum{0, 0};
    bool used = false;
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t tile = (first + t) * kWords;  // word of the keystream
      const std::int64_t from = std::max(tile, offset), to = std::min(tile + kWords, offset + count);
      const bool whole = from == tile, aside = target.packed || !whole || (large && !inputs_overlap);
      const std::uint32_t at = static_cast<std::uint32_t>(tile * static_cast<std::int64_t>(sizeof(W)) / block);
      W* words = aside ? beside + (from - tile) : out + (from - offset);
      used |= aside;
      if (aside && !whole) std::memset(beside, 0, sizeof(W) * (from - tile));
      if (!in) {
        if (aside) std::memcpy(words, out + (from - offset), sizeof(W) * (to - from));
      } else {
        Counts here{0, 0};
        const T* values = in + (from - offset);
        if constexpr (std::is_floating_point_v<T>) {
          if (dither) {
            alignas(64) W random[kWords];
            std::memset(random, 0, sizeof random);
            add(streams.size(), random, to - tile, at);
            here = ditherer(table, in, out)(values, random + (from - tile), words, to - from, fixed);
            wipe(random, sizeof random);
          } else {
            here = convert(values, words, to - from, fixed);
          }
        } else {
          here = convert(values, words, to - from, fixed);
        }
        sum.clipped += here.clipped;
        sum.bad += here.bad;
      }
      for (std::size_t i = 0; i < streams.size(); ++i) add(i, aside ? beside : words, to - tile, at);
      if (target.packed)
        packer(table, out)(words, to - from, target.bits, target.packed + (from - offset) / 8 * target.bits);
      else if (aside)
        cpu::copy_past(words, out + (from - offset), static_cast<std::int64_t>(sizeof(W)) * (to - from));
    }
    cpu::end_past();
    if (used) wipe(beside, sizeof beside);
    clipped += sum.clipped;
    bad += sum.bad;
  });
  return {clipped, bad};
}

#define FASTIMG_MASK(T, W)                                                                                 \
  template Counts mask(const T*, const Target<W>&, std::int64_t, std::int64_t, const std::vector<Stream>&, \
                       const Stream*, Prg, bool, const Fixed&, int);
FASTIMG_MASK(float, std::uint32_t)
FASTIMG_MASK(float, std::uint64_t)
FASTIMG_MASK(double, std::uint32_t)
FASTIMG_MASK(double, std::uint64_t)
FASTIMG_MASK(std::uint32_t, std::uint32_t)
FASTIMG_MASK(std::uint32_t, std::uint64_t)
FASTIMG_MASK(std::uint64_t, std::uint64_t)

}  // namespace fastimg::secagg
