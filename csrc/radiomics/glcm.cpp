#include "radiomics/glcm.hpp"

#include <algorithm>
#include <mutex>
#include <vector>

#include "radiomics/rows.hpp"

namespace fastimg::radiomics {
namespace {

constexpr std::int64_t kFirstLevel = 48 << 10;  // bytes of two tables at most

// Adds the pairs of slices [begin, end) at one offset. The cells of a row are found by vectors, then counted one by
// one. Two tables in turn: neighbours in a row often hit the same cell, and a cell's increments wait for one another.
template <class T, class I>
void count(const Volume<T>& volume, const Extents& extents, std::int64_t shift, std::int64_t begin, std::int64_t end,
           std::int64_t side, void (*cells)(const T*, const T*, std::int64_t, I*, std::int64_t), I* index,
           std::uint32_t* even, std::uint32_t* odd) {
  for (std::int64_t z = begin; z < end; ++z)
    for (std::int64_t y = 0; y < volume.ny; ++y) {
      const T* row = volume.row(z, y);
      const auto [first, last] = extents(z, y);
      const std::int64_t n = last - first;
      if (n == 0) continue;
      row += first;
      cells(row, row + shift, side, index, n);
      std::int64_t x = 0;
      for (; x + 3 < n; x += 4) {
        ++even[index[x]];
        ++odd[index[x + 1]];
        ++even[index[x + 2]];
        ++odd[index[x + 3]];
      }
      for (; x < n; ++x) ++even[index[x]];
    }
}

}  // namespace

template <class T>
void glcm(const Volume<T>& volume, const Offset* offsets, std::int64_t offset_count, std::int64_t z_begin,
          std::int64_t z_end, std::int64_t levels, std::int64_t* counts, int threads) {
  const std::int64_t side = levels + 1, cells = side * side, nz = z_end - z_begin;
  const RowTable<T>& rows = row_table<T>();
  const std::int64_t grain = slabs(nz, nz * volume.ny * volume.nx, cells, threads);
  std::mutex adding;
  cpu::parallel_for(nz, grain, threads, [&](std::int64_t begin, std::int64_t end) {
    const bool two = cells * 8 <= kFirstLevel;
    std::vector<std::uint32_t> first(cells), second(two ? cells : 0), index(volume.nx);
    std::uint32_t *const even = first.data(), *const odd = two ? second.data() : even;
    const Extents extents(volume, z_begin + begin, z_begin + end);
    for (std::int64_t k = 0; k < offset_count; ++k) {
      std::fill(first.begin(), first.end(), 0);
      std::fill(second.begin(), second.end(), 0);
      const std::int64_t shift = volume.shift(offsets[k]);
      if (cells <= 1 << 16)
        count(volume, extents, shift, z_begin + begin, z_begin + end, side, rows.cells16,
              reinterpret_cast<std::uint16_t*>(index.data()), even, odd);
      else
        count(volume, extents, shift, z_begin + begin, z_begin + end, side, rows.cells32, index.data(), even, odd);
      // Integers: the order in which chunks add does not matter.
      std::lock_guard<std::mutex> lock(adding);
      std::int64_t* to = counts + k * levels * levels;
      for (std::int64_t i = 0; i < levels; ++i) {
        const std::uint32_t *a = even + (i + 1) * side + 1, *b = odd + (i + 1) * side + 1;
        for (std::int64_t j = 0; j < levels; ++j) to[i * levels + j] += std::int64_t{a[j]} + (two ? b[j] : 0);
      }
    }
  });
}

template void glcm(const Volume<std::uint8_t>&, const Offset*, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                   std::int64_t*, int);
template void glcm(const Volume<std::uint16_t>&, const Offset*, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                   std::int64_t*, int);

}  // namespace fastimg::radiomics
