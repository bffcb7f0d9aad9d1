// A recursive filter of fourth order along one axis: causal and anticausal halves, borders extended by their last
// value.
#pragma once

#include <cstdint>

#include "cpu/pool.hpp"

namespace fastimg::filtering {

constexpr int kLines = 32;  // lines side by side

// forward: out[i] = sum n[j] in[i - j] - sum d[j] out[i - 1 - j]; backward: the same with m, one step later. bn and bm
// stand for d where a term lies outside and the border's value is put for it.
struct Recursive {
  double n[4], m[4], d[4], bn[4], bm[4];
};

struct RecursiveTable {
  // in, out: (length, kLines); length >= 4.
  void (*lines)(const Recursive& filter, const double* in, double* out, std::int64_t length);
};
FASTIMG_DECLARE_TABLE(RecursiveTable, recursive_lines)

// in (of kind T) as (outer, length, inner), filtered along the middle; of each line the values from `first` on go to
// out (outer, kept, inner). out may be in where all are kept.
template <class T>
void recursive(const T* in, float* out, const Recursive& filter, std::int64_t outer, std::int64_t length,
               std::int64_t inner, std::int64_t first, std::int64_t kept, int threads);

}  // namespace fastimg::filtering
