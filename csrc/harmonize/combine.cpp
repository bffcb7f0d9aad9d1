#include "harmonize/combine.hpp"

#include <algorithm>

#include "cpu/pool.hpp"

namespace fastimg::harmonize {
namespace {

// In all loops `to` may be what is read: a value is read before it is written, which the compiler is told.

// to = (sum + x a) + y b, without `sum` or `b` where they are null.
void add(const float* sum, float x, const float* a, float y, const float* b, float* to, std::int64_t n) {
  if (!sum && !b) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) to[i] = x * a[i];
  } else if (!sum) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) to[i] = x * a[i] + y * b[i];
  } else if (!b) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) to[i] = sum[i] + x * a[i];
  } else {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) to[i] = (sum[i] + x * a[i]) + y * b[i];
  }
}

}  // namespace

void combine(const float* const* arrays, const float* weights, int terms, float* out, std::int64_t count, int threads) {
  constexpr std::int64_t kBlock = 1 << 10;  // their sum stays in the nearest cache
  cpu::parallel_for(count, 1 << 16, threads, [=](std::int64_t begin, std::int64_t end) {
    alignas(64) float room[kBlock];
    for (; begin < end; begin += kBlock) {
      const std::int64_t n = std::min(kBlock, end - begin);
      for (int k = 0; k < terms; k += 2) {
        const bool two = k + 1 < terms;
        add(k ? room : nullptr, weights[k], arrays[k] + begin, two ? weights[k + 1] : 0.0f,
            two ? arrays[k + 1] + begin : nullptr, k + 2 < terms ? room : out + begin, n);
      }
    }
  });
}

void unsharp(const float* values, const float* smooth, float amount, float* to, std::int64_t count, int threads) {
  cpu::parallel_for(count, 1 << 16, threads, [=](std::int64_t begin, std::int64_t end) {
#pragma GCC ivdep
    for (std::int64_t i = begin; i < end; ++i) to[i] = values[i] + amount * (values[i] - smooth[i]);
  });
}

}  // namespace fastimg::harmonize
