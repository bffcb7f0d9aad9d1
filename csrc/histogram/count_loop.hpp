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
#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
typedef double Piece __attribute__((vector_size(kBytes)));  // a register
constexpr int kPer = kBytes / 8, kPieces = kWide / kPer;

inline __attribute__((always_inline)) double tree(const Piece* lanes) {
  double s[kWide];
  for (int i = 0; i < kWide; ++i) s[i] = lanes[i / kPer][i % kPer];
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
    std::int64_t inside = n;
    if (mask) {
      const std::uint8_t* __restrict m = mask + begin;
      inside = 0;
      for (int i = 0; i < n; ++i) inside += m[i] != 0;
      if (inside == 0) continue;
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
    const Piece* const v = reinterpret_cast<const Piece*>(value);
    const Piece* const w = reinterpret_cast<const Piece*>(weight);
    const int steps = padded / kPer;
    Piece number[kPieces] = {}, total[kPieces] = {};
    for (int i = 0; i < steps; i += kPieces)
      for (int k = 0; k < kPieces; ++k) {
        number[k] += w[i + k];
        total[k] += v[i + k];
      }
    const double good = tree(number);
    all.skipped += inside - static_cast<std::int64_t>(good);
    if (good == 0.0) continue;
    const double mean = tree(total) / good;
    const Piece most = Piece{} + __builtin_inf(), least = Piece{} - __builtin_inf();
    Piece low[kPieces], high[kPieces], square[kPieces] = {};
    for (int k = 0; k < kPieces; ++k) {
      low[k] = most;
      high[k] = least;
    }
    if (good == padded) {  // no weights needed: products by 1 change nothing
      for (int i = 0; i < steps; i += kPieces)
        for (int k = 0; k < kPieces; ++k) {
          const Piece here = v[i + k], d = here - mean;
          square[k] += d * d;
          low[k] = here < low[k] ? here : low[k];
          high[k] = here > high[k] ? here : high[k];
        }
    } else {
      for (int i = 0; i < steps; i += kPieces)
        for (int k = 0; k < kPieces; ++k) {
          const Piece here = v[i + k], d = (here - mean) * w[i + k];
          square[k] += d * d;
          const Piece below = w[i + k] != 0.0 ? here : most, above = w[i + k] != 0.0 ? here : least;
          low[k] = below < low[k] ? below : low[k];
          high[k] = above > high[k] ? above : high[k];
        }
    }
    Moments part;
    part.count = static_cast<std::int64_t>(good);
    part.mean = mean;
    part.m2 = tree(square);
    part.min = low[0][0];
    part.max = high[0][0];
    for (int l = 1; l < kWide; ++l) {
      const double a = low[l / kPer][l % kPer], b = high[l / kPer][l % kPer];
      part.min = a < part.min ? a : part.min;
      part.max = b > part.max ? b : part.max;
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
