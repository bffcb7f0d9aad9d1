// Counting values in bins: atoms in kernels/fastimg/histogram.cuh.
#pragma once

#include <cstdint>

#include "cpu/pool.hpp"

namespace fastimg::histogram {

constexpr int kLanes = 4;  // interleaved tables: equal neighbours do not wait for each other's increment

// How an index is made; the fields that a kind does not use are ignored.
struct Bins {
  double low = 0, high = 0, scale = 0;  // fixed; power: scale = 2^-e, low = base
  std::int64_t origin = 0;              // whole numbers: the value of bin 0
  int bins = 0;
};

// Adds to tables[kLanes][stride]; values that a mask leaves out go to index stride - 1.
template <class T>
using CountRow = void (*)(const T* in, const std::uint8_t* mask, std::int64_t count, const Bins& bins,
                          std::uint32_t* tables, std::int64_t stride);

// Of a block of at most kCountBlock values, those whose top 16 key bits are wanted, to `out`; returns how many.
constexpr int kCountBlock = 1024;
template <class U>
using CollectRow = std::int64_t (*)(const U* bits, const std::uint8_t* mask, int count, const std::uint8_t* wanted,
                                    U* out);

// clang-format off
#define FASTIMG_EACH_VOXEL(M)                                                                          \
  M(std::int8_t, i8) M(std::uint8_t, u8) M(std::int16_t, i16) M(std::uint16_t, u16)                    \
  M(std::int32_t, i32) M(std::uint32_t, u32) M(std::int64_t, i64) M(std::uint64_t, u64)                \
  M(float, f32) M(double, f64)
// clang-format on

struct CountTable {
#define FASTIMG_FIELD(T, name) \
  CountRow<T> direct_##name;   \
  CountRow<T> fixed_##name;
  FASTIMG_EACH_VOXEL(FASTIMG_FIELD)
#undef FASTIMG_FIELD
  CountRow<float> power_f32;
  CountRow<double> power_f64;
  CountRow<std::uint32_t> key_u32;
  CountRow<std::uint64_t> key_u64;
  CollectRow<std::uint32_t> collect_u32;
  CollectRow<std::uint64_t> collect_u64;
};
FASTIMG_DECLARE_TABLE(CountTable, count_table)

// counts[size] += what was seen; mask may be null. The result does not depend on threads: sums of integers.
// direct: index = value - origin, for 8 and 16 bits over the whole type. fixed: size = bins + 3. power: bins + 1.
template <class T>
void count_direct(const T* in, const std::uint8_t* mask, std::int64_t count, std::int64_t origin, std::int64_t* counts,
                  std::int64_t size, int threads);
template <class T>
void count_fixed(const T* in, const std::uint8_t* mask, std::int64_t count, double low, double high, double scale,
                 std::int64_t* counts, std::int64_t size, int threads);
template <class T>
void count_power(const T* in, const std::uint8_t* mask, std::int64_t count, double inverse, double base,
                 std::int64_t* counts, std::int64_t size, int threads);
// The top 16 bits of the ordered key of a float's bits.
template <class U>
void count_keys(const U* bits, const std::uint8_t* mask, std::int64_t count, std::int64_t* counts, int threads);

// Values whose top 16 key bits are marked in wanted[65536]; `out` has room for all of them. Returns how many. Their
// order depends on the threads.
template <class U>
std::int64_t collect(const U* bits, const std::uint8_t* mask, std::int64_t count, const std::uint8_t* wanted, U* out,
                     std::int64_t room, int threads);

}  // namespace fastimg::histogram
