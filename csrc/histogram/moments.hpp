// Count, mean, sum of squared deviations, least and greatest value, in one reading of memory.
#pragma once

#include <cstdint>

#include "cpu/pool.hpp"
#include "histogram/count.hpp"

namespace fastimg::histogram {

struct Moments {
  std::int64_t count = 0, skipped = 0;  // skipped: NaN and infinities
  double mean = 0, m2 = 0, min = 0, max = 0;
};
template <class T>
using MomentsRow = Moments (*)(const T* in, const std::uint8_t* mask, std::int64_t count);

// Of 8 and 16 bits: exact.
struct WholeMoments {
  std::int64_t count = 0, sum = 0;
  std::uint64_t squares = 0;  // of one grain
  std::int64_t min = 0, max = 0;
};
template <class T>
using WholeRow = WholeMoments (*)(const T* in, const std::uint8_t* mask, std::int64_t count);

#define FASTIMG_EACH_SMALL(M) M(std::int8_t, i8) M(std::uint8_t, u8) M(std::int16_t, i16) M(std::uint16_t, u16)
#define FASTIMG_EACH_WIDE(M) \
  M(std::int32_t, i32) M(std::uint32_t, u32) M(std::int64_t, i64) M(std::uint64_t, u64) M(float, f32) M(double, f64)

struct MomentsTable {
#define FASTIMG_FIELD(T, name) WholeRow<T> whole_##name;
  FASTIMG_EACH_SMALL(FASTIMG_FIELD)
#undef FASTIMG_FIELD
#define FASTIMG_FIELD(T, name) MomentsRow<T> wide_##name;
  FASTIMG_EACH_WIDE(FASTIMG_FIELD)
#undef FASTIMG_FIELD
};
FASTIMG_DECLARE_TABLE(MomentsTable, moments_table)

// Fixed chunks, each centred on its own mean, combined in order (Chan, Golub, LeVeque 1979).
template <class T>
Moments moments(const T* in, const std::uint8_t* mask, std::int64_t count, int threads);

// squares = high * 2^64 + low.
struct WholeSums {
  std::int64_t count = 0, sum = 0, min = 0, max = 0;
  std::uint64_t high = 0, low = 0;
};
template <class T>
WholeSums whole_moments(const T* in, const std::uint8_t* mask, std::int64_t count, int threads);

}  // namespace fastimg::histogram
