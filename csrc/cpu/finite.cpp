#include "cpu/finite.hpp"

#include <atomic>

#include "cpu/pool.hpp"

namespace fastimg::cpu {
namespace {

// x - x is 0, or NaN where x is not finite; a NaN stays in a sum. Memory is slower than the narrowest registers, and
// than its own look ahead: lines are asked for two pages before.
template <class T>
bool finite_part(const T* values, std::int64_t count) {
  constexpr int kLanes = 32, kLine = 64 / sizeof(T), kAhead = 8192 / sizeof(T);
  T sum[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int l = 0; l < kLanes; l += kLine) __builtin_prefetch(values + i + kAhead + l, 0, 2);
    for (int l = 0; l < kLanes; ++l) sum[l] += values[i + l] - values[i + l];
  }
  for (; i < count; ++i) sum[0] += values[i] - values[i];
  for (int l = 1; l < kLanes; ++l) sum[0] += sum[l];
  return sum[0] == T(0);
}

}  // namespace

template <class T>
bool finite(const T* values, std::int64_t count, int threads) {
  std::atomic<bool> all{true};
  parallel_for(count, 1 << 18, threads, [&](std::int64_t begin, std::int64_t end) {
    if (!finite_part(values + begin, end - begin)) all.store(false, std::memory_order_relaxed);
  });
  return all.load(std::memory_order_relaxed);
}

template bool finite(const float*, std::int64_t, int);
template bool finite(const double*, std::int64_t, int);

}  // namespace fastimg::cpu
