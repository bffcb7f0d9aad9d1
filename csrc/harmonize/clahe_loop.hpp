// Included once in each level's region: no include guard, no standard header.
#include "fastimg/clahe.cuh"

namespace fastimg::harmonize::FASTIMG_LEVEL {
namespace {

template <class T>
void levels(const T* __restrict in, std::uint8_t* __restrict out, std::int64_t count, double low, double scale,
            double inverse) {
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = fastimg::clahe_level(static_cast<double>(in[i]), low, scale, inverse);
}

// The maps of the tiles' columns are mixed along z and y once a row; a voxel mixes two of these.
void clahe_row(const std::uint8_t* __restrict levels, const float* maps, const ClaheGrid& grid, int z, int y,
               float* __restrict row, float* __restrict out) {
  const int nx = grid.tiles[2], bins = grid.bins, width = nx * bins;
  const fastimg::ClaheBetween bz = fastimg::clahe_between(z, grid.tile[0], grid.tiles[0]);
  const fastimg::ClaheBetween by = fastimg::clahe_between(y, grid.tile[1], grid.tiles[1]);
  const std::int64_t ny = grid.tiles[1];
  const float* __restrict a = maps + (bz.first * ny + by.first) * width;
  const float* __restrict b = maps + (bz.first * ny + by.second) * width;
  const float* __restrict c = maps + (bz.second * ny + by.first) * width;
  const float* __restrict d = maps + (bz.second * ny + by.second) * width;
  const float sy = by.share, sz = bz.share;
  for (int i = 0; i < width; ++i)
    row[i] = fastimg::clahe_mix(fastimg::clahe_mix(a[i], b[i], sy), fastimg::clahe_mix(c[i], d[i], sy), sz);
  const int tile = grid.tile[2], half = tile / 2;
  const float size = static_cast<float>(tile);
  for (int from = -half, block = 0; from < grid.shape[2]; from += tile, ++block) {
    const float* __restrict p = row + (block > 0 ? block - 1 : 0) * bins;
    const float* __restrict q = row + (block < nx ? block : nx - 1) * bins;
    const int begin = from < 0 ? 0 : from, end = from + tile < grid.shape[2] ? from + tile : grid.shape[2];
    for (int x = begin; x < end; ++x) {
      const float share = static_cast<float>(x - from) / size;
      out[x] = fastimg::clahe_mix(p[levels[x]], q[levels[x]], share);
    }
  }
}

}  // namespace

extern const ClaheTable clahe_table;
const ClaheTable clahe_table = {
#define FASTIMG_FIELD(T, name) levels<T>,
    FASTIMG_EACH_MAPPED(FASTIMG_FIELD)
#undef FASTIMG_FIELD
        clahe_row,
};

}  // namespace fastimg::harmonize::FASTIMG_LEVEL
