#include "histogram/moments.hpp"

#include <algorithm>
#include <vector>

namespace fastimg::histogram {
namespace {

constexpr std::int64_t kGrain = 1 << 16;  // 2^16 squares of 16 bits fit 64

#define FASTIMG_FIELD(T, name) \
  WholeRow<T> row_of(const MomentsTable& t, const T*) { return t.whole_##name; }
FASTIMG_EACH_SMALL(FASTIMG_FIELD)
#undef FASTIMG_FIELD
#define FASTIMG_FIELD(T, name) \
  MomentsRow<T> row_of(const MomentsTable& t, const T*) { return t.wide_##name; }
FASTIMG_EACH_WIDE(FASTIMG_FIELD)
#undef FASTIMG_FIELD

// The rows' results, a grain each, in order.
template <class Part, class T>
std::vector<Part> parts_of(const T* in, const std::uint8_t* mask, std::int64_t count, int threads) {
  const auto row = row_of(FASTIMG_PICK(moments_table), in);
  std::vector<Part> parts(static_cast<std::size_t>((count + kGrain - 1) / kGrain));
  cpu::parallel_for(count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
    parts[static_cast<std::size_t>(begin / kGrain)] = row(in + begin, mask ? mask + begin : nullptr, end - begin);
  });
  return parts;
}

}  // namespace

template <class T>
Moments moments(const T* in, const std::uint8_t* mask, std::int64_t count, int threads) {
  Moments all;
  for (const Moments& part : parts_of<Moments>(in, mask, count, threads)) {
    all.skipped += part.skipped;
    if (!part.count) continue;
    if (!all.count) {
      const std::int64_t skipped = all.skipped;
      all = part;
      all.skipped = skipped;
      continue;
    }
    const double na = static_cast<double>(all.count), nb = static_cast<double>(part.count), n = na + nb;
    const double apart = part.mean - all.mean;
    all.mean += apart * (nb / n);
    all.m2 += part.m2 + apart * apart * (na * nb / n);
    all.min = std::min(all.min, part.min);
    all.max = std::max(all.max, part.max);
    all.count += part.count;
  }
  return all;
}

template <class T>
WholeSums whole_moments(const T* in, const std::uint8_t* mask, std::int64_t count, int threads) {
  WholeSums all;
  unsigned __int128 squares = 0;
  for (const WholeMoments& part : parts_of<WholeMoments>(in, mask, count, threads)) {
    if (!part.count) continue;
    all.min = all.count ? std::min(all.min, part.min) : part.min;
    all.max = all.count ? std::max(all.max, part.max) : part.max;
    all.count += part.count;
    all.sum += part.sum;
    squares += part.squares;
  }
  all.high = static_cast<std::uint64_t>(squares >> 64);
  all.low = static_cast<std::uint64_t>(squares);
  return all;
}

#define FASTIMG_FIELD(T, name) template WholeSums whole_moments(const T*, const std::uint8_t*, std::int64_t, int);
FASTIMG_EACH_SMALL(FASTIMG_FIELD)
#undef FASTIMG_FIELD
#define FASTIMG_FIELD(T, name) template Moments moments(const T*, const std::uint8_t*, std::int64_t, int);
FASTIMG_EACH_WIDE(FASTIMG_FIELD)
#undef FASTIMG_FIELD

}  // namespace fastimg::histogram
