#include "radiomics/glcm.hpp"

#include <algorithm>
#include <mutex>
#include <vector>

namespace fastimg::radiomics {

namespace {
constexpr std::int64_t kFirstLevel = 32 << 10;  // bytes
}

template <class T>
void glcm(const Volume<T>& volume, const Offset* offsets, std::int64_t offset_count, std::int64_t z_begin,
          std::int64_t z_end, std::int64_t levels, std::int64_t* counts, int threads) {
  const std::int64_t side = levels + 1, cells = side * side;
  std::mutex adding;
  cpu::parallel_for(z_end - z_begin, slabs(z_end - z_begin, (z_end - z_begin) * volume.ny * volume.nx, cells), threads,
                    [&](std::int64_t begin, std::int64_t end) {
                      // Two tables in turn: neighbours in a row often hit the same cell, and a cell's increments wait
                      // for one another. One where two would not fit the first-level cache: then waiting for memory is
                      // dearer.
                      std::vector<std::uint32_t> first(cells), second(cells * 8 > kFirstLevel ? 0 : cells);
                      std::uint32_t *const even = first.data(), *const odd = second.empty() ? even : second.data();
                      for (std::int64_t k = 0; k < offset_count; ++k) {
                        std::fill(first.begin(), first.end(), 0);
                        std::fill(second.begin(), second.end(), 0);
                        const std::int64_t shift = volume.shift(offsets[k]);
                        for (std::int64_t z = z_begin + begin; z < z_begin + end; ++z)
                          for (std::int64_t y = 0; y < volume.ny; ++y) {
                            const T* row = volume.row(z, y);
                            std::int64_t x, last;
                            extent(row, volume.nx, x, last);
                            for (; x + 1 < last; x += 2) {
                              ++even[row[x] * side + row[x + shift]];
                              ++odd[row[x + 1] * side + row[x + 1 + shift]];
                            }
                            if (x < last) ++even[row[x] * side + row[x + shift]];
                          }
                        // Integers: the order in which chunks add does not matter.
                        std::lock_guard<std::mutex> lock(adding);
                        std::int64_t* to = counts + k * levels * levels;
                        for (std::int64_t i = 0; i < levels; ++i)
                          for (std::int64_t j = 0; j < levels; ++j) {
                            const std::int64_t from = (i + 1) * side + j + 1;
                            to[i * levels + j] += std::int64_t{even[from]} + (odd == even ? 0 : odd[from]);
                          }
                      }
                    });
}

template void glcm(const Volume<std::uint8_t>&, const Offset*, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                   std::int64_t*, int);
template void glcm(const Volume<std::uint16_t>&, const Offset*, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                   std::int64_t*, int);

}  // namespace fastimg::radiomics
