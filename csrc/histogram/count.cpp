#include "histogram/count.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <vector>

#include "cpu/aligned.hpp"
#include "fastimg/histogram.cuh"

namespace fastimg::histogram {
namespace {

constexpr std::int64_t kSmallest = 1 << 20;  // values a chunk at least: a table is cleared and added once a chunk
constexpr std::int64_t kLargest = 1 << 30;   // and at most, or 32 bits overflow

#define FASTIMG_FIELD(T, name)                                                     \
  CountRow<T> direct_of(const CountTable& t, const T*) { return t.direct_##name; } \
  CountRow<T> fixed_of(const CountTable& t, const T*) { return t.fixed_##name; }
FASTIMG_EACH_VOXEL(FASTIMG_FIELD)
#undef FASTIMG_FIELD
CountRow<float> power_of(const CountTable& t, const float*) { return t.power_f32; }
CountRow<double> power_of(const CountTable& t, const double*) { return t.power_f64; }
CountRow<std::uint32_t> key_of(const CountTable& t, const std::uint32_t*) { return t.key_u32; }
CountRow<std::uint64_t> key_of(const CountTable& t, const std::uint64_t*) { return t.key_u64; }
CollectRow<std::uint32_t> collect_of(const CountTable& t, const std::uint32_t*) { return t.collect_u32; }
CollectRow<std::uint64_t> collect_of(const CountTable& t, const std::uint64_t*) { return t.collect_u64; }

template <class T>
void count_into(CountRow<T> row, const T* in, const std::uint8_t* mask, std::int64_t count, const Bins& bins,
                std::int64_t* counts, std::int64_t size, int threads) {
  const int team = threads > 0 ? threads : cpu::api().threads();
  const std::int64_t grain = std::clamp(count / team + 1, std::max(kSmallest, 4 * size), kLargest);
  const std::int64_t stride = size + 1;  // the last is for masked values
  std::mutex mutex;
  cpu::parallel_for(count, grain, threads, [&](std::int64_t begin, std::int64_t end) {
    auto tables = cpu::aligned<std::uint32_t>(static_cast<std::size_t>(kLanes * stride));
    std::memset(tables.get(), 0, static_cast<std::size_t>(kLanes * stride) * sizeof(std::uint32_t));
    row(in + begin, mask ? mask + begin : nullptr, end - begin, bins, tables.get(), stride);
    std::lock_guard<std::mutex> lock(mutex);
    for (int lane = 0; lane < kLanes; ++lane)
      for (std::int64_t i = 0; i < size; ++i) counts[i] += tables[lane * stride + i];
  });
}

}  // namespace

template <class T>
void count_direct(const T* in, const std::uint8_t* mask, std::int64_t count, std::int64_t origin, std::int64_t* counts,
                  std::int64_t size, int threads) {
  Bins bins;
  bins.origin = origin;
  count_into(direct_of(FASTIMG_PICK(count_table), in), in, mask, count, bins, counts, size, threads);
}

template <class T>
void count_fixed(const T* in, const std::uint8_t* mask, std::int64_t count, double low, double high, double scale,
                 std::int64_t* counts, std::int64_t size, int threads) {
  Bins bins;
  bins.low = low;
  bins.high = high;
  bins.scale = scale;
  bins.bins = static_cast<int>(size - 3);
  count_into(fixed_of(FASTIMG_PICK(count_table), in), in, mask, count, bins, counts, size, threads);
}

template <class T>
void count_power(const T* in, const std::uint8_t* mask, std::int64_t count, double inverse, double base,
                 std::int64_t* counts, std::int64_t size, int threads) {
  Bins bins;
  bins.scale = inverse;
  bins.low = base;
  bins.bins = static_cast<int>(size - 1);
  count_into(power_of(FASTIMG_PICK(count_table), in), in, mask, count, bins, counts, size, threads);
}

template <class U>
void count_keys(const U* bits, const std::uint8_t* mask, std::int64_t count, std::int64_t* counts, int threads) {
  count_into(key_of(FASTIMG_PICK(count_table), bits), bits, mask, count, Bins{}, counts, std::int64_t{1} << 16,
             threads);
}

template <class U>
std::int64_t collect(const U* bits, const std::uint8_t* mask, std::int64_t count, const std::uint8_t* wanted, U* out,
                     std::int64_t room, int threads) {
  const CollectRow<U> row = collect_of(FASTIMG_PICK(count_table), bits);
  std::atomic<std::int64_t> written{0};
  cpu::parallel_for(count, 64 * kCountBlock, threads, [&](std::int64_t begin, std::int64_t end) {
    U some[4 * kCountBlock];  // cores ask for a place together, not for each block
    std::int64_t held = 0;
    for (std::int64_t i = begin; i < end; i += kCountBlock) {
      const int n = static_cast<int>(std::min<std::int64_t>(kCountBlock, end - i));
      held += row(bits + i, mask ? mask + i : nullptr, n, wanted, some + held);
      if (held <= 3 * kCountBlock && i + n < end) continue;
      const std::int64_t at = written.fetch_add(held);
      if (at + held <= room) std::memcpy(out + at, some, static_cast<std::size_t>(held) * sizeof(U));
      held = 0;
    }
  });
  return std::min(written.load(), room);
}

#define FASTIMG_FIELD(T, name)                                                                                       \
  template void count_direct(const T*, const std::uint8_t*, std::int64_t, std::int64_t, std::int64_t*, std::int64_t, \
                             int);                                                                                   \
  template void count_fixed(const T*, const std::uint8_t*, std::int64_t, double, double, double, std::int64_t*,      \
                            std::int64_t, int);
FASTIMG_EACH_VOXEL(FASTIMG_FIELD)
#undef FASTIMG_FIELD
template void count_power(const float*, const std::uint8_t*, std::int64_t, double, double, std::int64_t*, std::int64_t,
                          int);
template void count_power(const double*, const std::uint8_t*, std::int64_t, double, double, std::int64_t*, std::int64_t,
                          int);
template void count_keys(const std::uint32_t*, const std::uint8_t*, std::int64_t, std::int64_t*, int);
template void count_keys(const std::uint64_t*, const std::uint8_t*, std::int64_t, std::int64_t*, int);
template std::int64_t collect(const std::uint32_t*, const std::uint8_t*, std::int64_t, const std::uint8_t*,
                              std::uint32_t*, std::int64_t, int);
template std::int64_t collect(const std::uint64_t*, const std::uint8_t*, std::int64_t, const std::uint8_t*,
                              std::uint64_t*, std::int64_t, int);

}  // namespace fastimg::histogram
