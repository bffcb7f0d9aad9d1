// Contrast-limited adaptive histogram equalisation of a volume: atoms in kernels/fastimg/clahe.cuh.
#pragma once

#include <cstdint>

#include "cpu/pool.hpp"
#include "harmonize/map.hpp"

namespace fastimg::harmonize {

struct ClaheGrid {
  int shape[3], tile[3], tiles[3];  // z, y, x; tiles = ceil(shape / tile)
  int bins;
};

template <class T>
using ClaheLevels = void (*)(const T* in, std::uint8_t* out, std::int64_t count, double low, double scale,
                             double inverse);
struct ClaheTable {
#define FASTIMG_FIELD(T, name) ClaheLevels<T> levels_##name;
  FASTIMG_EACH_MAPPED(FASTIMG_FIELD)
#undef FASTIMG_FIELD
  // One row (z, y): `maps` are the tiles' in the order z, y, x; `row` has room for tiles[2] x bins.
  void (*row)(const std::uint8_t* levels, const float* maps, const ClaheGrid& grid, int z, int y, float* row,
              float* out);
};
FASTIMG_DECLARE_TABLE(ClaheTable, clahe_table)

template <class T>
void clahe_levels(const T* in, std::uint8_t* out, std::int64_t count, double low, double scale, double inverse,
                  int threads);
// counts[tile][bin]; tiles that reach beyond the end see the volume mirrored. Masked voxels do not count.
void clahe_count(const std::uint8_t* levels, const std::uint8_t* mask, const ClaheGrid& grid, std::int32_t* counts,
                 int threads);
// counts -> maps to grey levels, 0 to 16383; `limit`: the clip limit as a share of a tile's voxels (0: none).
void clahe_maps(const std::int32_t* counts, const ClaheGrid& grid, double limit, float* maps, int threads);
void clahe_apply(const std::uint8_t* levels, const float* maps, const ClaheGrid& grid, float* out, int threads);

}  // namespace fastimg::harmonize
