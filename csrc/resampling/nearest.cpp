#include "resampling/nearest.hpp"

#include <algorithm>
#include <cstring>

#include "resampling/fill.hpp"

namespace fastimg::resampling {
namespace {
constexpr std::int64_t kAhead = 6;   // rows that are fetched beforehand
constexpr std::int64_t kPlanes = 8;  // output planes a piece of work: repeated planes are copied within one
}  // namespace

template <class Rel>
PickBlocks<Rel>::PickBlocks(const Picks& x) {
  if (x.in < 2 * picks) return;
  blocks = std::max<std::int64_t>(0, x.high - x.low) / picks;
  base.resize(blocks);
  rel.resize(blocks * picks);
  narrow = true;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const auto begin = x.index.begin() + x.low + b * picks;
    base[b] =
        std::min<std::int32_t>(*std::min_element(begin, begin + picks), static_cast<std::int32_t>(x.in - 2 * picks));
    for (std::int64_t i = 0; i < picks; ++i) {
      const std::int32_t place = begin[i] - base[b];
      narrow = narrow && place < 2 * picks;
      rel[b * picks + i] = static_cast<Rel>(place);
    }
  }
}

void nearest(const void* in, void* out, std::int64_t size, const Picks& z, const Picks& y, const Picks& x,
             const PickRow& blocks, const void* outside, int threads) {
  const auto pick = FASTIMG_PICK(pick_table).row[size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3];
  const std::int64_t width = x.out * size, plane = y.out * width;
  const auto inside = [](const Picks& axis, std::int64_t o) { return o >= axis.low && o < axis.high; };
  const char* const source = static_cast<const char*>(in);
  char* const target = static_cast<char*>(out);
  cpu::parallel_for(z.out, kPlanes, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      char* const here = target + k * plane;
      if (!inside(z, k)) {
        fill_with(here, outside, size, y.out * x.out);
        continue;
      }
      if (k > begin && inside(z, k - 1) && z.index[k] == z.index[k - 1]) {
        std::memcpy(here, here - plane, plane);
        continue;
      }
      for (std::int64_t j = 0; j < y.out; ++j) {
        char* const row = here + j * width;
        if (!inside(y, j)) {
          fill_with(row, outside, size, x.out);
        } else if (j > 0 && inside(y, j - 1) && y.index[j] == y.index[j - 1]) {
          std::memcpy(row, row - width, width);
        } else {
          const std::int64_t from = static_cast<std::int64_t>(z.index[k]) * y.in + y.index[j];
          // the hardware follows rows, but not from those that are skipped to the next
          const std::int64_t soon =
              static_cast<std::int64_t>(z.index[k]) * y.in + y.index[std::min(j + kAhead, y.out - 1)];
          for (std::int64_t i = 0; i < x.in * size; i += 64) __builtin_prefetch(source + soon * x.in * size + i);
          fill_with(row, outside, size, std::min(x.low, x.out));
          if (x.high > x.low) pick(source + from * x.in * size, x, blocks, row);
          fill_with(row + x.high * size, outside, size, x.out - x.high);
        }
      }
    }
  });
}

template struct PickBlocks<std::uint8_t>;
template struct PickBlocks<std::uint16_t>;

}  // namespace fastimg::resampling
