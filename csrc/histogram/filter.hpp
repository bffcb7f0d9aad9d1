// Values between borders, and how many lie above each border: what exact quantiles read memory for.
#pragma once

#include <cstdint>

#include "cpu/pool.hpp"

namespace fastimg::histogram {

// Borders e[0] <= e[1] <= ...; a value counts for each border that it is not below (NaN: for none). Values at or above
// an odd number of the first `toggles` borders are kept. Both borders of what is only counted come after them.
template <class T>
struct Borders {
  const T* value;
  int count, toggles;
};

template <class T>
struct Kept {
  T* to;                  // room for kFlush + kFilterBlock values
  std::int64_t size = 0;  // in `to`
  std::int64_t* reached;  // of each border
};
constexpr int kFilterBlock = 2048;

// One block of at most kFilterBlock values; the kept ones are appended.
template <class T>
using FilterRow = void (*)(const T* in, int count, const Borders<T>& borders, Kept<T>& kept);

struct FilterTable {
  FilterRow<float> f32;
  FilterRow<double> f64;
};
FASTIMG_DECLARE_TABLE(FilterTable, filter_table)

// Returns how many values are kept, or -1 where `out` has no room for them (then only part of it was written). Their
// order depends on the threads.
template <class T>
std::int64_t filter(const T* in, const std::uint8_t* mask, std::int64_t count, const Borders<T>& borders,
                    std::int64_t* reached, T* out, std::int64_t room, int threads);

}  // namespace fastimg::histogram
