// Grey levels of a region in a box with a border of zeros: 0 is outside, 1 ... levels is inside.
//
// The border (pad voxels on every side of every axis) makes every neighbour of the box readable, so that the sweeps
// have no test for the edge; a voxel outside the region has level 0 and lands in a row or column that nobody reads.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "cpu/pool.hpp"

namespace fastimg::radiomics {

struct Offset {
  std::int32_t z, y, x;
};

template <class T>
struct Volume {
  const T* data;            // of the padded box
  std::int64_t nz, ny, nx;  // of the box without its border
  std::int64_t pad;

  std::int64_t step_y() const { return nx + 2 * pad; }
  std::int64_t step_z() const { return step_y() * (ny + 2 * pad); }
  const T* row(std::int64_t z, std::int64_t y) const {
    return data + (z + pad) * step_z() + (y + pad) * step_y() + pad;
  }
  std::int64_t shift(const Offset& o) const { return o.z * step_z() + o.y * step_y() + o.x; }
};

// The first and one past the last voxel of a row that lie in the region; equal when there is none. Eight bytes at a
// time: half of a round region's box is outside, and every sweep looks for the ends again.
template <class T>
inline void extent(const T* row, std::int64_t count, std::int64_t& begin, std::int64_t& end) {
  constexpr std::int64_t kAtOnce = 8 / sizeof(T);
  const auto none = [row](std::int64_t at) {
    std::uint64_t word;
    std::memcpy(&word, row + at, 8);
    return word == 0;
  };
  begin = 0;
  end = count;
  while (begin + kAtOnce <= end && none(begin)) begin += kAtOnce;
  while (begin < end && row[begin] == 0) ++begin;
  while (end - kAtOnce >= begin && none(end - kAtOnce)) end -= kAtOnce;
  while (end > begin && row[end - 1] == 0) --end;
}

// The extents of the rows of slices [begin, end), for sweeps that come back once a direction.
class Extents {
 public:
  template <class T>
  Extents(const Volume<T>& volume, std::int64_t begin, std::int64_t end)
      : ny_(volume.ny), first_(begin), of_((end - begin) * volume.ny) {
    for (std::int64_t z = begin; z < end; ++z)
      for (std::int64_t y = 0; y < ny_; ++y) {
        Row& row = of_[(z - begin) * ny_ + y];
        extent(volume.row(z, y), volume.nx, row.begin, row.end);
      }
  }
  struct Row {
    std::int64_t begin, end;
  };
  const Row& operator()(std::int64_t z, std::int64_t y) const { return of_[(z - first_) * ny_ + y]; }

 private:
  std::int64_t ny_, first_;
  std::vector<Row> of_;
};

// Slices a chunk of integer counts: enough chunks for the threads, chunks of about a million voxels (so that a second
// sweep finds them in the cache), and clearing and adding a table of `table` cells little work.
inline std::int64_t slabs(std::int64_t nz, std::int64_t voxels, std::int64_t table, int threads) {
  if (threads <= 0) threads = cpu::api().threads();
  std::int64_t parts = threads == 1 ? voxels >> 20 : 4 * threads;
  const std::int64_t most = voxels / (4 * table + (1 << 14));
  if (parts < voxels >> 20) parts = voxels >> 20;
  if (parts > most) parts = most;
  if (parts < 1) parts = 1;
  return nz > parts ? (nz + parts - 1) / parts : 1;
}

}  // namespace fastimg::radiomics
