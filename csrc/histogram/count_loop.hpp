// Included once in each level's region: no include guard, no standard header.
#include "fastimg/histogram.cuh"

namespace fastimg::histogram::FASTIMG_LEVEL {
namespace {

constexpr int kBlock = kCountBlock;  // indices are made vector-wise, then counted

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

// wanted: 0 or 1. Few are: eight values are looked at together.
template <class U>
std::int64_t collect_row(const U* __restrict in, const std::uint8_t* mask, int count, const std::uint8_t* wanted,
                         U* __restrict out) {
  constexpr int kGroup = 8;
  alignas(64) std::uint32_t key[kBlock];
  alignas(64) std::uint8_t hit[kBlock + kGroup];
  for (int i = 0; i < count; ++i) key[i] = KeyIndex{}(in[i], Bins{});
  for (int i = 0; i < count; ++i) hit[i] = wanted[key[i]];
  if (mask)
    for (int i = 0; i < count; ++i) hit[i] &= mask[i] != 0;
  for (int i = 0; i < kGroup; ++i) hit[count + i] = 0;
  std::int64_t found = 0;
  for (int begin = 0; begin < count; begin += kGroup) {
    std::uint64_t hits;
    __builtin_memcpy(&hits, hit + begin, kGroup);
    for (; hits; hits &= hits - 1) out[found++] = in[begin + __builtin_ctzll(hits) / 8];
  }
  return found;
}

}  // namespace

extern const CountTable count_table;
const CountTable count_table = {
#define FASTIMG_FIELD(T, name) count_row<DirectIndex, T>, count_row<FixedIndex, T>,
    FASTIMG_EACH_VOXEL(FASTIMG_FIELD)
#undef FASTIMG_FIELD
        count_row<PowerIndex, float>,
    count_row<PowerIndex, double>,
    count_row<KeyIndex, std::uint32_t>,
    count_row<KeyIndex, std::uint64_t>,
    collect_row<std::uint32_t>,
    collect_row<std::uint64_t>,
};

}  // namespace fastimg::histogram::FASTIMG_LEVEL
