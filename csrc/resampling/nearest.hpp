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

// The x axis in blocks of 32 outputs, where a block's samples lie within 64 of its first one.
constexpr std::int64_t kPicks = 32;
struct PickBlocks {
  bool narrow = false;
  std::int64_t blocks = 0;
  std::vector<std::int32_t> base;  // at most in - 64: a block reads 64 samples
  std::vector<std::uint16_t> rel;
  explicit PickBlocks(const Picks& x);
};

struct PickTable {
  // row[i] = from[x.index[i]] for i in [x.low, x.high); one function for each size of voxel: 1, 2, 4, 8
  void (*row[4])(const void* from, const Picks& x, const PickBlocks& blocks, void* row);
};
FASTIMG_DECLARE_TABLE(PickTable, pick_table)

void nearest(const void* in, void* out, std::int64_t size, const Picks& z, const Picks& y, const Picks& x,
             const PickBlocks& blocks, const void* outside, int threads);

}  // namespace fastimg::resampling
