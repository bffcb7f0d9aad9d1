#include "radiomics/neighbours.hpp"

#include <algorithm>
#include <limits>
#include <mutex>
#include <vector>

#include "fastimg/texture.cuh"
#include "radiomics/rows.hpp"

namespace fastimg::radiomics {
namespace {

// As RowTable::around, for more neighbours than a level's type can count.
template <class T>
void each(const T* at, const std::int64_t* shifts, std::int64_t count, std::int64_t alpha, std::int64_t* near,
          std::int64_t* in, std::int64_t* sum, std::int64_t n) {
  for (std::int64_t x = 0; x < n; ++x) {
    near[x] = in[x] = sum[x] = 0;
    for (std::int64_t k = 0; k < count; ++k) {
      const T other = at[x + shifts[k]];
      near[x] += depends(at[x], other, alpha);
      in[x] += other != 0;
      sum[x] += other;
    }
  }
}

// C holds counts of neighbours, S sums of their levels.
template <class C, class S, class T>
void run(const Volume<T>& volume, const std::vector<std::int64_t>& shifts, std::int64_t z_begin, std::int64_t z_end,
         std::int64_t levels, std::int64_t alpha,
         void (*around)(const T*, const std::int64_t*, std::int64_t, std::int64_t, C*, C*, S*, std::int64_t),
         std::int64_t* dependent, std::int64_t* valid, std::int64_t* apart, int threads) {
  const auto count = static_cast<std::int64_t>(shifts.size());
  const std::int64_t width = count + 1, cells = (levels + 1) * width, nz = z_end - z_begin;
  std::mutex adding;
  cpu::parallel_for(nz, slabs(nz, nz * volume.ny * volume.nx, 3 * cells, threads), threads,
                    [&](std::int64_t begin, std::int64_t end) {
                      // Most voxels have all neighbours: two tables in turn, so that increments need not wait.
                      struct Cell {
                        std::int64_t in, apart;
                      };
                      std::vector<Cell> table(2 * cells);
                      std::vector<std::uint32_t> near_table(cells);
                      std::vector<C> near(volume.nx), in(volume.nx);
                      std::vector<S> sum(volume.nx);
                      Cell *const even = table.data(), *const odd = even + cells;
                      for (std::int64_t z = z_begin + begin; z < z_begin + end; ++z)
                        for (std::int64_t y = 0; y < volume.ny; ++y) {
                          const T* at = volume.row(z, y);
                          std::int64_t first, last;
                          extent(at, volume.nx, first, last);
                          if (first == last) continue;
                          at += first;
                          around(at, shifts.data(), count, alpha, near.data(), in.data(), sum.data(), last - first);
                          const auto add = [&](std::int64_t x, Cell* to) {
                            const std::int64_t level = at[x], from = level * width, neighbours = in[x];
                            ++near_table[from + near[x]];
                            Cell& cell = to[from + neighbours];
                            ++cell.in;
                            cell.apart += apart_from_mean(level, neighbours, sum[x]);
                          };
                          std::int64_t x = 0;
                          for (; x + 1 < last - first; x += 2) {
                            add(x, even);
                            add(x + 1, odd);
                          }
                          if (x < last - first) add(x, even);
                        }
                      std::lock_guard<std::mutex> lock(adding);
                      for (std::int64_t cell = width; cell < cells; ++cell) {  // level 0 is outside
                        dependent[cell - width] += near_table[cell];
                        valid[cell - width] += even[cell].in + odd[cell].in;
                        apart[cell - width] += even[cell].apart + odd[cell].apart;
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
  if (offset_count <= std::numeric_limits<T>::max())  // so many levels of so much fit twice the bits
    run<T>(volume, shifts, z_begin, z_end, levels, alpha, row_table<T>().around, dependent, valid, apart, threads);
  else
    run<std::int64_t>(volume, shifts, z_begin, z_end, levels, alpha, each<T>, dependent, valid, apart, threads);
}

template void neighbours(const Volume<std::uint8_t>&, const Offset*, std::int64_t, std::int64_t, std::int64_t,
                         std::int64_t, std::int64_t, std::int64_t*, std::int64_t*, std::int64_t*, int);
template void neighbours(const Volume<std::uint16_t>&, const Offset*, std::int64_t, std::int64_t, std::int64_t,
                         std::int64_t, std::int64_t, std::int64_t*, std::int64_t*, std::int64_t*, int);

}  // namespace fastimg::radiomics
