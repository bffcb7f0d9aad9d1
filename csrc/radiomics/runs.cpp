#include "radiomics/runs.hpp"

#include <algorithm>
#include <limits>
#include <mutex>
#include <vector>

#include "radiomics/rows.hpp"

namespace fastimg::radiomics {
namespace {

// A voxel's run is as long as that of the voxel before it, plus one, if their levels are equal: whole rows at once,
// from the lengths of the row before. A run of two or more is counted where it ends; only those along x, and those
// longer than T holds, are walked.
template <class T>
class Lengths {
 public:
  explicit Lengths(const Volume<T>& volume)
      : volume_(volume),
        wide_(volume.nx + 2),
        slices_(2 * volume.ny * wide_),
        ends_(volume.nx / 64 + 2),
        places_(volume.nx + 8) {}

  // Counts the runs that end in slices [begin, end); those may begin in slices from z_first on. Cells of the table are
  // length * side + level, so that those of short runs lie together.
  void count(const Offset& direction, const Extents& extents, std::int64_t begin, std::int64_t end,
             std::int64_t z_first, std::int64_t side, std::uint32_t* table) {
    const std::int64_t step = volume_.shift(direction);
    const bool along = direction.z == 0 && direction.y == 0;
    if (direction.z && begin > z_first)
      for (std::int64_t y = 0; y < volume_.ny; ++y) walk(begin - 1, y, step);
    for (std::int64_t z = begin; z < end; ++z)
      for (std::int64_t y = 0; y < volume_.ny; ++y) {
        const T* at = volume_.row(z, y);
        const auto [first, last] = extents(z, y);
        if (first == last) continue;
        at += first;
        // The row before: outside the box no level is equal, so any lengths will do. Along x lengths are not known.
        const std::int64_t from = y - direction.y;
        const T* before = lengths(z - direction.z, from < 0 || from >= volume_.ny ? y : from) - direction.x + first;
        T* now = lengths(z, y) + first;
        if (along) before = now;
        extend_(at, step, before, now, ends_.data(), last - first);
        const std::int64_t found = places_of_(ends_.data(), (last - first + 63) / 64, places_.data());
        for (std::int64_t i = 0; i < found; ++i) {
          const std::int64_t x = places_[i];
          std::int64_t length = now[x];
          if (along || length == std::numeric_limits<T>::max()) length = back(at + x, step);
          ++table[length * side + at[x]];
        }
      }
  }

 private:
  T* lengths(std::int64_t z, std::int64_t y) { return slices_.data() + ((z & 1) * volume_.ny + y) * wide_ + 1; }

  static std::int64_t back(const T* at, std::int64_t step) {
    std::int64_t length = 1;
    for (const T* p = at - step; *p == *at; p -= step) ++length;
    return length;
  }

  // The lengths of a row whose row before is not known.
  void walk(std::int64_t z, std::int64_t y, std::int64_t step) {
    const T* at = volume_.row(z, y);
    T* now = lengths(z, y);
    for (std::int64_t x = 0; x < volume_.nx; ++x)
      if (at[x]) now[x] = static_cast<T>(std::min<std::int64_t>(back(at + x, step), std::numeric_limits<T>::max()));
  }

  const Volume<T>& volume_;
  void (*extend_)(const T*, std::int64_t, const T*, T*, std::uint64_t*, std::int64_t) = row_table<T>().extend;
  decltype(RowTable<T>::places) places_of_ = row_table<T>().places;
  std::int64_t wide_;
  std::vector<T> slices_;
  std::vector<std::uint64_t> ends_;
  std::vector<std::int32_t> places_;
};

}  // namespace

template <class T>
void glrlm(const Volume<T>& volume, const Offset* directions, std::int64_t direction_count, std::int64_t z_begin,
           std::int64_t z_end, std::int64_t levels, std::int64_t longest, std::int64_t* counts, int threads) {
  const std::int64_t cells = levels * longest, side = levels + 1, nz = z_end - z_begin;
  const std::int64_t grain = slabs(nz, nz * volume.ny * volume.nx, cells, threads);
  std::vector<std::int64_t> voxels(levels + 1);
  std::mutex adding;
  cpu::parallel_for(nz, grain, threads, [&](std::int64_t begin, std::int64_t end) {
    const Extents extents(volume, z_begin + begin, z_begin + end);
    std::vector<std::uint32_t> even(levels + 1), odd(levels + 1);
    for (std::int64_t z = z_begin + begin; z < z_begin + end; ++z)
      for (std::int64_t y = 0; y < volume.ny; ++y) {
        const T* row = volume.row(z, y);
        auto [x, last] = extents(z, y);
        for (; x + 1 < last; x += 2) {
          ++even[row[x]];
          ++odd[row[x + 1]];
        }
        if (x < last) ++even[row[x]];
      }
    {
      std::lock_guard<std::mutex> lock(adding);
      for (std::int64_t level = 1; level <= levels; ++level) voxels[level] += std::int64_t{even[level]} + odd[level];
    }
    std::vector<std::uint32_t> table((longest + 1) * side);
    Lengths<T> lengths(volume);
    for (std::int64_t k = 0; k < direction_count; ++k) {
      std::fill(table.begin(), table.end(), 0);
      lengths.count(directions[k], extents, z_begin + begin, z_begin + end, z_begin, side, table.data());
      std::lock_guard<std::mutex> lock(adding);
      std::int64_t* to = counts + k * cells;
      for (std::int64_t length = 2; length <= longest; ++length)
        for (std::int64_t level = 1; level <= levels; ++level)
          to[(level - 1) * longest + length - 1] += table[length * side + level];
    }
  });
  // Runs of one are what is left of a level's voxels.
  for (std::int64_t k = 0; k < direction_count; ++k)
    for (std::int64_t level = 0; level < levels; ++level) {
      std::int64_t* of = counts + k * cells + level * longest;
      std::int64_t left = voxels[level + 1];
      for (std::int64_t length = 1; length < longest; ++length) left -= of[length] * (length + 1);
      of[0] += left;
    }
}

template void glrlm(const Volume<std::uint8_t>&, const Offset*, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                    std::int64_t, std::int64_t*, int);
template void glrlm(const Volume<std::uint16_t>&, const Offset*, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                    std::int64_t, std::int64_t*, int);

}  // namespace fastimg::radiomics
