#include "radiomics/runs.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <vector>

#include "fastimg/texture.cuh"

namespace fastimg::radiomics {

// Only runs of two or more are walked: a voxel opens one when the voxel before it differs and the one after it does
// not. That test is one branch-free pass over a row; runs of one are what is left of the level's voxels.
template <class T>
void glrlm(const Volume<T>& volume, const Offset* directions, std::int64_t direction_count, std::int64_t z_begin,
           std::int64_t z_end, std::int64_t levels, std::int64_t longest, std::int64_t* counts, int threads) {
  const std::int64_t cells = levels * longest;
  std::mutex adding;
  cpu::parallel_for(z_end - z_begin, slabs(z_end - z_begin, (z_end - z_begin) * volume.ny * volume.nx, cells), threads,
                    [&](std::int64_t begin, std::int64_t end) {
                      std::vector<std::uint32_t> table(cells);
                      std::vector<std::int64_t> voxels(levels + 1);
                      std::vector<std::uint8_t> opens(volume.nx + 8);
                      for (std::int64_t k = 0; k < direction_count; ++k) {
                        std::fill(table.begin(), table.end(), 0);
                        const std::int64_t step = volume.shift(directions[k]);
                        for (std::int64_t z = z_begin + begin; z < z_begin + end; ++z)
                          for (std::int64_t y = 0; y < volume.ny; ++y) {
                            const T* row = volume.row(z, y);
                            std::int64_t first, last;
                            extent(row, volume.nx, first, last);
                            if (first == last) continue;
                            if (k == 0)
                              for (std::int64_t x = first; x < last; ++x) ++voxels[row[x]];
                            const std::int64_t count = last - first;
                            const T *at = row + first, *before = at - step, *after = at + step;
                            std::uint8_t* __restrict open = opens.data();
                            for (std::int64_t x = 0; x < count; ++x)
                              open[x] = static_cast<std::uint8_t>(opens_run(before[x], at[x], after[x]));
                            std::memset(opens.data() + count, 0, 8);
                            for (std::int64_t x = 0; x < count; x += 8) {
                              std::uint64_t eight;
                              std::memcpy(&eight, opens.data() + x, 8);
                              for (; eight; eight &= eight - 1) {
                                const T* voxel = at + x + __builtin_ctzll(eight) / 8;
                                const T level = *voxel;
                                std::int64_t length = 2;
                                for (const T* p = voxel + 2 * step; *p == level; p += step) ++length;
                                ++table[(level - 1) * longest + length - 1];
                              }
                            }
                          }
                        std::lock_guard<std::mutex> lock(adding);
                        std::int64_t* to = counts + k * cells;
                        for (std::int64_t level = 0; level < levels; ++level) {
                          std::int64_t left = voxels[level + 1];
                          for (std::int64_t length = 1; length < longest; ++length)
                            if (const std::int64_t runs = table[level * longest + length]) {
                              to[level * longest + length] += runs;
                              left -= runs * (length + 1);
                            }
                          to[level * longest] += left;
                        }
                      }
                    });
}

template void glrlm(const Volume<std::uint8_t>&, const Offset*, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                    std::int64_t, std::int64_t*, int);
template void glrlm(const Volume<std::uint16_t>&, const Offset*, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                    std::int64_t, std::int64_t*, int);

}  // namespace fastimg::radiomics
