// Included once in each level's region: no include guard, no standard header.
#include "fastimg/histogram.cuh"

namespace fastimg::histogram::FASTIMG_LEVEL {
namespace {

constexpr int kBlock = 1024;  // indices are made vector-wise, then counted

struct DirectIndex {
  template <class T>
  inline __attribute__((always_inline)) std::uint32_t operator()(T x, const Bins& b) const {
    return static_cast<std::uint32_t>(static_cast<std::uint64_t>(x) - static_cast<std::uint64_t>(b.origin));
  }
};
struct FixedIndex {
  template <class T>
  inline __attribute__((always_inline)) std::uint32_t operator()(T x, const Bins& b) const {
    return fastimg::fixed_bin(static_cast<double>(x), b.low, b.high, b.scale, b.bins);
  }
};
struct PowerIndex {
  template <class T>
  inline __attribute__((always_inline)) std::uint32_t operator()(T x, const Bins& b) const {
    return fastimg::power_bin(static_cast<double>(x), b.scale, b.low, b.bins);
  }
};
struct KeyIndex {
  inline __attribute__((always_inline)) std::uint32_t operator()(std::uint32_t x, const Bins&) const {
    return fastimg::ordered(static_cast<u32>(x)) >> 16;
  }
  inline __attribute__((always_inline)) std::uint32_t operator()(std::uint64_t x, const Bins&) const {
    return static_cast<std::uint32_t>(fastimg::ordered(static_cast<u64>(x)) >> 48);
  }
};

template <class Index, class T>
void count_row(const T* __restrict in, const std::uint8_t* __restrict mask, std::int64_t count, const Bins& bins_,
               std::uint32_t* __restrict tables, std::int64_t stride) {
  const Index index{};
  const Bins bins = bins_;
  const std::uint32_t out = static_cast<std::uint32_t>(stride - 1);
  std::uint32_t* const t0 = tables;
  std::uint32_t* const t1 = tables + stride;
  std::uint32_t* const t2 = tables + 2 * stride;
  std::uint32_t* const t3 = tables + 3 * stride;
  alignas(64) std::uint32_t seen[kBlock];
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const int n = static_cast<int>(count - begin < kBlock ? count - begin : kBlock);
    const T* __restrict x = in + begin;
    if (mask) {
      const std::uint8_t* __restrict m = mask + begin;
      int inside = 0;
      for (int i = 0; i < n; ++i) inside += m[i] != 0;
      if (inside == 0) continue;
      if (inside == n) {
        for (int i = 0; i < n; ++i) seen[i] = index(x[i], bins);
      } else {
        for (int i = 0; i < n; ++i) seen[i] = m[i] ? index(x[i], bins) : out;
      }
    } else {
      for (int i = 0; i < n; ++i) seen[i] = index(x[i], bins);
    }
    int i = 0;
    for (; i + 4 <= n; i += 4) {
      ++t0[seen[i]];
      ++t1[seen[i + 1]];
      ++t2[seen[i + 2]];
      ++t3[seen[i + 3]];
    }
    for (; i < n; ++i) ++t0[seen[i]];
  }
}

// Sixteen running sums, a lane each, whatever the register's width: the same bits at every level.
constexpr int kWide = 16;

inline __attribute__((always_inline)) double tree(const double* lane) {
  double s[kWide];
  for (int i = 0; i < kWide; ++i) s[i] = lane[i];
  for (int half = kWide / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) s[i] = s[i] + s[i + half];
  return s[0];
}

template <class T>
Moments moments_row(const T* __restrict in, const std::uint8_t* __restrict mask, std::int64_t count) {
  constexpr int kRoom = 1024;  // both arrays fit the first-level cache
  alignas(64) double value[kRoom];
  alignas(64) double weight[kRoom];
  Moments all;
  for (std::int64_t begin = 0; begin < count; begin += kRoom) {
    const int n = static_cast<int>(count - begin < kRoom ? count - begin : kRoom);
    const T* __restrict x = in + begin;
    const int padded = (n + kWide - 1) / kWide * kWide;
    if (mask) {
      const std::uint8_t* __restrict m = mask + begin;
      for (int i = 0; i < n; ++i) {
        const double v = static_cast<double>(x[i]);
        const bool good = fastimg::is_finite(v) & (m[i] != 0);
        weight[i] = good ? 1.0 : 0.0;
        value[i] = good ? v : 0.0;
      }
    } else {
      for (int i = 0; i < n; ++i) {
        const double v = static_cast<double>(x[i]);
        const bool good = fastimg::is_finite(v);
        weight[i] = good ? 1.0 : 0.0;
        value[i] = good ? v : 0.0;
      }
    }
    for (int i = n; i < padded; ++i) value[i] = weight[i] = 0.0;
    std::int64_t inside = n;
    if (mask) {
      inside = 0;
      for (int i = 0; i < n; ++i) inside += mask[begin + i] != 0;
    }
    alignas(64) double number[kWide] = {};
    for (int i = 0; i < padded; i += kWide)
      for (int l = 0; l < kWide; ++l) number[l] += weight[i + l];
    const double good = tree(number);
    all.skipped += inside - static_cast<std::int64_t>(good);
    if (good == 0.0) continue;
    const bool whole = good == padded;  // no weights needed: products by 1 change nothing
    alignas(64) double total[kWide] = {}, low[kWide], high[kWide];
    for (int l = 0; l < kWide; ++l) {
      low[l] = __builtin_inf();
      high[l] = -__builtin_inf();
    }
    for (int i = 0; i < padded; i += kWide)
      for (int l = 0; l < kWide; ++l) total[l] += value[i + l];
    if (whole) {
      for (int i = 0; i < padded; i += kWide)
        for (int l = 0; l < kWide; ++l) {
          const double v = value[i + l];
          low[l] = v < low[l] ? v : low[l];
          high[l] = v > high[l] ? v : high[l];
        }
    } else {
      for (int i = 0; i < padded; i += kWide)
        for (int l = 0; l < kWide; ++l) {
          const bool counts = weight[i + l] != 0.0;
          const double below = counts ? value[i + l] : __builtin_inf(), above = counts ? value[i + l] : -__builtin_inf();
          low[l] = below < low[l] ? below : low[l];
          high[l] = above > high[l] ? above : high[l];
        }
    }
    const double mean = tree(total) / good;
    alignas(64) double square[kWide] = {};
    if (whole) {
      for (int i = 0; i < padded; i += kWide)
        for (int l = 0; l < kWide; ++l) {
          const double d = value[i + l] - mean;
          square[l] += d * d;
        }
    } else {
      for (int i = 0; i < padded; i += kWide)
        for (int l = 0; l < kWide; ++l) {
          const double d = (value[i + l] - mean) * weight[i + l];
          square[l] += d * d;
        }
    }
    Moments part;
    part.count = static_cast<std::int64_t>(good);
    part.mean = mean;
    part.m2 = tree(square);
    part.min = low[0];
    part.max = high[0];
    for (int l = 1; l < kWide; ++l) {
      part.min = low[l] < part.min ? low[l] : part.min;
      part.max = high[l] > part.max ? high[l] : part.max;
    }
    part.skipped = all.skipped;
    if (all.count) {
      const double na = static_cast<double>(all.count), nb = good, apart = part.mean - all.mean, n2 = na + nb;
      part.mean = all.mean + apart * (nb / n2);
      part.m2 = all.m2 + part.m2 + apart * apart * (na * nb / n2);
      part.min = all.min < part.min ? all.min : part.min;
      part.max = all.max > part.max ? all.max : part.max;
      part.count += all.count;
    }
    all = part;
  }
  return all;
}

}  // namespace

extern const CountTable count_table;
const CountTable count_table = {
#define FASTIMG_FIELD(T, name) count_row<DirectIndex, T>, count_row<FixedIndex, T>, moments_row<T>,
    FASTIMG_EACH_VOXEL(FASTIMG_FIELD)
#undef FASTIMG_FIELD
    count_row<PowerIndex, float>,
    count_row<PowerIndex, double>,
    count_row<KeyIndex, std::uint32_t>,
    count_row<KeyIndex, std::uint64_t>,
};

}  // namespace fastimg::histogram::FASTIMG_LEVEL
