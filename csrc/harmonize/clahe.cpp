#include "harmonize/clahe.hpp"

#include <algorithm>
#include <vector>

#include "cpu/aligned.hpp"
#include "fastimg/clahe.cuh"

namespace fastimg::harmonize {
namespace {

constexpr std::int64_t kGrain = 1 << 16;
constexpr double kGreys = 16383;

#define FASTIMG_FIELD(T, name) \
  ClaheLevels<T> levels_of(const ClaheTable& t, const T*) { return t.levels_##name; }
FASTIMG_EACH_MAPPED(FASTIMG_FIELD)
#undef FASTIMG_FIELD

// Clips a histogram and shares what is cut off among the bins below the limit: evenly first, the rest one by one in
// strides (Zuiderveld's scheme, in the order that scikit-image keeps).
void clip(std::int64_t* hist, std::int64_t bins, std::int64_t limit) {
  std::int64_t excess = 0;
  for (std::int64_t i = 0; i < bins; ++i)
    if (hist[i] > limit) {
      excess += hist[i] - limit;
      hist[i] = limit;
    }
  const std::int64_t each = excess / bins, upper = limit - each;
  std::int64_t given = 0, filled = 0;
  for (std::int64_t i = 0; i < bins; ++i) {
    if (hist[i] < upper) {
      hist[i] += each;
      given += each;
      if (hist[i] < upper || hist[i] >= limit) continue;
    } else if (hist[i] >= limit) {
      continue;
    }
    filled += limit - hist[i];
    hist[i] = limit;
  }
  excess -= given + filled;
  while (excess > 0) {
    const std::int64_t before = excess;
    for (std::int64_t index = 0; index < bins && excess > 0; ++index) {
      std::int64_t under = 0;
      for (std::int64_t i = 0; i < bins; ++i) under += hist[i] < limit;
      const std::int64_t step = std::max<std::int64_t>(1, under / excess);
      for (std::int64_t i = index; i < bins; i += step)
        if (hist[i] < limit) {
          ++hist[i];
          --excess;
        }
    }
    if (before == excess) break;
  }
}

void tile_map(const std::int32_t* counts, int bins, double limit, std::vector<std::int64_t>& hist, float* map) {
  std::int64_t voxels = 0;
  for (int i = 0; i < bins; ++i) voxels += hist[static_cast<std::size_t>(i)] = counts[i];
  if (!voxels) {  // nothing to equalise: brightness stays
    for (int i = 0; i < bins; ++i) map[i] = static_cast<float>(kGreys * (i + 0.5) / bins);
    return;
  }
  const double share = limit * static_cast<double>(voxels);
  if (limit > 0) clip(hist.data(), bins, std::max<std::int64_t>(1, static_cast<std::int64_t>(share)));
  double sum = 0;
  const double scale = kGreys / static_cast<double>(voxels);
  for (int i = 0; i < bins; ++i) {
    sum += static_cast<double>(hist[static_cast<std::size_t>(i)]);
    map[i] = static_cast<float>(static_cast<int>(std::min(sum * scale, kGreys)));
  }
}

}  // namespace

template <class T>
void clahe_levels(const T* in, std::uint8_t* out, std::int64_t count, double low, double scale, double inverse,
                  int threads) {
  const auto row = levels_of(FASTIMG_PICK(clahe_table), in);
  cpu::parallel_for(count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
    row(in + begin, out + begin, end - begin, low, scale, inverse);
  });
}

void clahe_count(const std::uint8_t* levels, const std::uint8_t* mask, const ClaheGrid& grid, std::int32_t* counts,
                 int threads) {
  const std::int64_t rows = static_cast<std::int64_t>(grid.tiles[0]) * grid.tiles[1];
  const std::int64_t nx = grid.shape[2], ny = grid.shape[1];
  cpu::parallel_for(rows, 1, threads, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t t = first; t < last; ++t) {
      const int tz = static_cast<int>(t / grid.tiles[1]), ty = static_cast<int>(t % grid.tiles[1]);
      std::int32_t* const own = counts + t * grid.tiles[2] * grid.bins;
      for (int dz = 0; dz < grid.tile[0]; ++dz) {
        const std::int64_t z = fastimg::clahe_mirror(tz * grid.tile[0] + dz, grid.shape[0]);
        for (int dy = 0; dy < grid.tile[1]; ++dy) {
          const std::int64_t y = fastimg::clahe_mirror(ty * grid.tile[1] + dy, grid.shape[1]);
          const std::uint8_t* const row = levels + (z * ny + y) * nx;
          const std::uint8_t* const m = mask ? mask + (z * ny + y) * nx : nullptr;
          for (int tx = 0; tx < grid.tiles[2]; ++tx) {
            std::int32_t* const table = own + static_cast<std::int64_t>(tx) * grid.bins;
            const int begin = tx * grid.tile[2], end = begin + grid.tile[2];
            for (int i = begin; i < end; ++i) {
              const int x = i < nx ? i : fastimg::clahe_mirror(i, grid.shape[2]);
              table[row[x]] += m ? m[x] != 0 : 1;
            }
          }
        }
      }
    }
  });
}

void clahe_maps(const std::int32_t* counts, const ClaheGrid& grid, double limit, float* maps, int threads) {
  const std::int64_t tiles = static_cast<std::int64_t>(grid.tiles[0]) * grid.tiles[1] * grid.tiles[2];
  cpu::parallel_for(tiles, 8, threads, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int64_t> hist(static_cast<std::size_t>(grid.bins));
    for (std::int64_t t = begin; t < end; ++t)
      tile_map(counts + t * grid.bins, grid.bins, limit, hist, maps + t * grid.bins);
  });
}

void clahe_apply(const std::uint8_t* levels, const float* maps, const ClaheGrid& grid, float* out, int threads) {
  const auto row = FASTIMG_PICK(clahe_table).row;
  const std::int64_t rows = static_cast<std::int64_t>(grid.shape[0]) * grid.shape[1];
  cpu::parallel_for(rows, 64, threads, [&](std::int64_t begin, std::int64_t end) {
    auto room = cpu::aligned<float>(static_cast<std::size_t>(grid.tiles[2]) * static_cast<std::size_t>(grid.bins));
    for (std::int64_t r = begin; r < end; ++r)
      row(levels + r * grid.shape[2], maps, grid, static_cast<int>(r / grid.shape[1]),
          static_cast<int>(r % grid.shape[1]), room.get(), out + r * grid.shape[2]);
  });
}

#define FASTIMG_FIELD(T, name) \
  template void clahe_levels(const T*, std::uint8_t*, std::int64_t, double, double, double, int);
FASTIMG_EACH_MAPPED(FASTIMG_FIELD)
#undef FASTIMG_FIELD

}  // namespace fastimg::harmonize
