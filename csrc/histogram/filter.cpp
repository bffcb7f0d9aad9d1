#include "histogram/filter.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <vector>

#include "cpu/aligned.hpp"

namespace fastimg::histogram {
namespace {

constexpr std::int64_t kGrain = 1 << 18;
constexpr std::int64_t kFlush = 4096;  // kept values that wait to be written

FilterRow<float> row_of(const FilterTable& t, const float*) { return t.f32; }
FilterRow<double> row_of(const FilterTable& t, const double*) { return t.f64; }

}  // namespace

template <class T>
std::int64_t filter(const T* in, const std::uint8_t* mask, std::int64_t count, const Borders<T>& borders,
                    std::int64_t* reached, T* out, std::int64_t room, int threads) {
  const auto row = row_of(FASTIMG_PICK(filter_table), in);
  std::atomic<std::int64_t> written{0};
  std::mutex mutex;
  cpu::parallel_for(count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
    auto waiting = cpu::aligned<T>(static_cast<std::size_t>(kFlush + kFilterBlock + 16));
    auto packed = cpu::aligned<T>(static_cast<std::size_t>(kFilterBlock + 1));
    std::vector<std::int64_t> own(static_cast<std::size_t>(borders.count), 0);
    Kept<T> kept{waiting.get(), 0, own.data()};
    const auto flush = [&] {
      const std::int64_t at = written.fetch_add(kept.size);
      if (at + kept.size <= room) std::memcpy(out + at, kept.to, static_cast<std::size_t>(kept.size) * sizeof(T));
      kept.size = 0;
    };
    for (std::int64_t from = begin; from < end; from += kFilterBlock) {
      const int n = static_cast<int>(std::min<std::int64_t>(kFilterBlock, end - from));
      if (mask) {
        const std::uint8_t* const m = mask + from;
        int inside = 0;
        for (int i = 0; i < n; ++i) inside += m[i] != 0;
        if (inside == 0) continue;
        if (inside < n) {
          int size = 0;
          for (int i = 0; i < n; ++i) {
            packed[static_cast<std::size_t>(size)] = in[from + i];
            size += m[i] != 0;
          }
          row(packed.get(), size, borders, kept);
        } else {
          row(in + from, n, borders, kept);
        }
      } else {
        row(in + from, n, borders, kept);
      }
      if (kept.size >= kFlush) {
        flush();
        if (written.load(std::memory_order_relaxed) > room) return;
      }
    }
    flush();
    std::lock_guard<std::mutex> lock(mutex);
    for (int k = 0; k < borders.count; ++k) reached[k] += own[static_cast<std::size_t>(k)];
  });
  return written.load() > room ? -1 : written.load();
}

template std::int64_t filter(const float*, const std::uint8_t*, std::int64_t, const Borders<float>&, std::int64_t*,
                             float*, std::int64_t, int);
template std::int64_t filter(const double*, const std::uint8_t*, std::int64_t, const Borders<double>&, std::int64_t*,
                             double*, std::int64_t, int);

}  // namespace fastimg::histogram
