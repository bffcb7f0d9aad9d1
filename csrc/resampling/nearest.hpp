// The nearest sample on an axis-aligned grid: voxels of 1, 2, 4 or 8 bytes are moved, never computed with.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/pool.hpp"

namespace fastimg::resampling {

struct Picks {  // along one axis: output o takes input index[o]; outputs [low, high) lie inside
  std::int64_t in = 0, out = 0, low = 0, high = 0;
  std::vector<std::int32_t> index;
};

// The x axis in blocks of `picks` outputs, where a block's samples lie within 2 picks of its first one.
template <class Rel>
struct PickBlocks {
  static constexpr std::int64_t picks = 64 / sizeof(Rel);
  bool narrow = false;
  std::int64_t blocks = 0;
  std::vector<std::int32_t> base;  // at most in - 2 picks: a block reads that many samples
  std::vector<Rel> rel;
  explicit PickBlocks(const Picks& x);
};
struct PickRow {
  PickBlocks<std::uint16_t> words;
  PickBlocks<std::uint8_t> bytes;
  explicit PickRow(const Picks& x) : words(x), bytes(x) {}
};

struct PickTable {
  // row[i] = from[x.index[i]] for i in [x.low, x.high); one function for each size of voxel: 1, 2, 4, 8
  void (*row[4])(const void* from, const Picks& x, const PickRow& blocks, void* row);
};
FASTIMG_DECLARE_TABLE(PickTable, pick_table)

void nearest(const void* in, void* out, std::int64_t size, const Picks& z, const Picks& y, const Picks& x,
             const PickRow& blocks, const void* outside, int threads);

}  // namespace fastimg::resampling
