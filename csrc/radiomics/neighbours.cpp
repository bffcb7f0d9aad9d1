#include "radiomics/neighbours.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <vector>

#include "fastimg/texture.cuh"

namespace fastimg::radiomics {
namespace {

// Of one row: C holds counts of neighbours, S sums of their levels.
template <class T, class C, class S>
struct Row {
  std::vector<C> near, in;
  std::vector<S> sum;
  explicit Row(std::int64_t count) : near(count), in(count), sum(count) {}

  void sweep(const T* at, std::int64_t count, const std::vector<std::int64_t>& shifts, std::int64_t alpha) {
    C* __restrict n = near.data();
    C* __restrict i = in.data();
    S* __restrict s = sum.data();
    std::memset(n, 0, count * sizeof(C));
    std::memset(i, 0, count * sizeof(C));
    std::memset(s, 0, count * sizeof(S));
    for (const std::int64_t shift : shifts) {
      const T* other = at + shift;
      if (alpha == 0) {  // outside is 0, so it equals no voxel of the region
        for (std::int64_t x = 0; x < count; ++x) n[x] = static_cast<C>(n[x] + (at[x] == other[x]));
      } else {
        for (std::int64_t x = 0; x < count; ++x) n[x] = static_cast<C>(n[x] + depends(at[x], other[x], alpha));
      }
      for (std::int64_t x = 0; x < count; ++x) i[x] = static_cast<C>(i[x] + (other[x] != 0));
      for (std::int64_t x = 0; x < count; ++x) s[x] = static_cast<S>(s[x] + other[x]);
    }
  }
};

template <class C, class S, class T>
void run(const Volume<T>& volume, const std::vector<std::int64_t>& shifts, std::int64_t z_begin, std::int64_t z_end,
         std::int64_t levels, std::int64_t alpha, std::int64_t* dependent, std::int64_t* valid, std::int64_t* apart,
         int threads) {
  const std::int64_t width = static_cast<std::int64_t>(shifts.size()) + 1, cells = (levels + 1) * width;
  std::mutex adding;
  cpu::parallel_for(z_end - z_begin, slabs(z_end - z_begin, (z_end - z_begin) * volume.ny * volume.nx, 3 * cells),
                    threads, [&](std::int64_t begin, std::int64_t end) {
                      std::vector<std::int64_t> table(3 * cells);
                      std::int64_t *near = table.data(), *in = near + cells, *sums = in + cells;
                      Row<T, C, S> row(volume.nx);
                      for (std::int64_t z = z_begin + begin; z < z_begin + end; ++z)
                        for (std::int64_t y = 0; y < volume.ny; ++y) {
                          const T* at = volume.row(z, y);
                          std::int64_t first, last;
                          extent(at, volume.nx, first, last);
                          if (first == last) continue;
                          at += first;
                          row.sweep(at, last - first, shifts, alpha);
                          for (std::int64_t x = 0; x < last - first; ++x) {
                            const std::int64_t level = at[x], from = level * width, count = row.in[x];
                            ++near[from + row.near[x]];
                            ++in[from + count];
                            sums[from + count] += apart_from_mean(level, count, row.sum[x]);
                          }
                        }
                      std::lock_guard<std::mutex> lock(adding);
                      for (std::int64_t cell = width; cell < cells; ++cell) {  // level 0 is outside
                        dependent[cell - width] += near[cell];
                        valid[cell - width] += in[cell];
                        apart[cell - width] += sums[cell];
                      }
                    });
}

}  // namespace

template <class T>
void neighbours(const Volume<T>& volume, const Offset* offsets, std::int64_t offset_count, std::int64_t z_begin,
                std::int64_t z_end, std::int64_t levels, std::int64_t alpha, std::int64_t* dependent,
                std::int64_t* valid, std::int64_t* apart, int threads) {
  std::vector<std::int64_t> shifts;
  for (std::int64_t k = 0; k < offset_count; ++k) shifts.push_back(volume.shift(offsets[k]));
  if (sizeof(T) == 1 && offset_count <= 255)  // 255 levels of 255 fit 16 bits
    run<std::uint8_t, std::uint16_t>(volume, shifts, z_begin, z_end, levels, alpha, dependent, valid, apart, threads);
  else
    run<std::uint16_t, std::uint32_t>(volume, shifts, z_begin, z_end, levels, alpha, dependent, valid, apart, threads);
}

template void neighbours(const Volume<std::uint8_t>&, const Offset*, std::int64_t, std::int64_t, std::int64_t,
                         std::int64_t, std::int64_t, std::int64_t*, std::int64_t*, std::int64_t*, int);
template void neighbours(const Volume<std::uint16_t>&, const Offset*, std::int64_t, std::int64_t, std::int64_t,
                         std::int64_t, std::int64_t, std::int64_t*, std::int64_t*, std::int64_t*, int);

}  // namespace fastimg::radiomics
