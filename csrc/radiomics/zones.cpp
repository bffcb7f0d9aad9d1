#include "radiomics/zones.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace fastimg::radiomics {
namespace {

// Stretches of one level along x stand for their voxels: far fewer things to join.
struct Stretch {
  std::int32_t begin, end, level;
};

class Forest {
 public:
  std::int32_t add() {
    const auto id = static_cast<std::int32_t>(parent.size());
    parent.push_back(id);
    return id;
  }
  std::int32_t root(std::int32_t id) {
    while (parent[id] != id) id = parent[id] = parent[parent[id]];
    return id;
  }
  void join(std::int32_t a, std::int32_t b) {
    a = root(a);
    b = root(b);
    if (a < b)  // the older one stays root, so that one forward pass flattens the forest
      parent[b] = a;
    else
      parent[a] = b;
  }
  std::vector<std::int32_t> parent;
};

}  // namespace

template <class T>
Zones zones(const Volume<T>& volume, bool flat, std::int64_t z_begin, std::int64_t z_end, const std::uint16_t* distances) {
  std::vector<Stretch> stretches;
  std::vector<std::int32_t> nearest;
  Forest forest;
  const std::int64_t rows = (z_end - z_begin) * volume.ny;
  std::vector<std::size_t> start(rows + 1);

  const auto touch = [&](std::int64_t row, std::int64_t other) {
    std::size_t j = start[other];
    const std::size_t j_end = start[other + 1];
    for (std::size_t i = start[row]; i < stretches.size(); ++i) {
      const Stretch s = stretches[i];
      while (j < j_end && stretches[j].end < s.begin) ++j;
      for (std::size_t k = j; k < j_end && stretches[k].begin <= s.end; ++k)
        if (stretches[k].level == s.level) forest.join(static_cast<std::int32_t>(k), static_cast<std::int32_t>(i));
    }
  };

  for (std::int64_t z = z_begin; z < z_end; ++z)
    for (std::int64_t y = 0; y < volume.ny; ++y) {
      const std::int64_t row = (z - z_begin) * volume.ny + y;
      start[row] = stretches.size();
      const T* at = volume.row(z, y);
      const std::uint16_t* far = distances ? distances + (z * volume.ny + y) * volume.nx : nullptr;
      std::int64_t x, last;
      extent(at, volume.nx, x, last);
      while (x < last) {
        const T level = at[x];
        const std::int64_t begin = x;
        do ++x;
        while (at[x] == level);  // the border ends the last one
        if (level == 0) continue;
        if (stretches.size() == std::numeric_limits<std::int32_t>::max()) throw std::length_error("too many zones");
        stretches.push_back({static_cast<std::int32_t>(begin), static_cast<std::int32_t>(x), level});
        forest.add();
        if (far) nearest.push_back(*std::min_element(far + begin, far + x));
      }
      start[row + 1] = stretches.size();
      if (start[row] == stretches.size()) continue;
      if (y > 0) touch(row, row - 1);
      if (flat || z == z_begin) continue;
      const std::int64_t below = row - volume.ny;
      if (y > 0) touch(row, below - 1);
      touch(row, below);
      if (y + 1 < volume.ny) touch(row, below + 1);
    }

  Zones found;
  std::vector<std::int32_t> place(stretches.size());
  for (std::size_t i = 0; i < stretches.size(); ++i) {
    const std::int32_t root = forest.parent[i] = forest.parent[forest.parent[i]];
    if (root == static_cast<std::int32_t>(i)) {
      place[i] = static_cast<std::int32_t>(found.level.size());
      found.level.push_back(stretches[i].level);
      found.size.push_back(0);
      if (distances) found.distance.push_back(std::numeric_limits<std::int32_t>::max());
    }
    const std::int32_t zone = place[root];
    found.size[zone] += stretches[i].end - stretches[i].begin;
    if (distances) found.distance[zone] = std::min(found.distance[zone], nearest[i]);
  }
  return found;
}

void taxicab(const std::uint8_t* mask, std::int64_t nz, std::int64_t ny, std::int64_t nx, bool flat, std::uint16_t* out,
             int threads) {
  constexpr int kMost = 65534;
  // Along each axis, forth and back: the city-block distance is exact in one pass of each.
  const auto line = [](std::uint16_t* at, std::int64_t count, std::int64_t step) {
    int near = 0;
    for (std::int64_t i = 0; i < count; ++i) near = at[i * step] = static_cast<std::uint16_t>(std::min<int>(at[i * step], near + 1));
    near = 0;
    for (std::int64_t i = count - 1; i >= 0; --i)
      near = at[i * step] = static_cast<std::uint16_t>(std::min<int>(at[i * step], near + 1));
  };
  // Rows against rows: the same step for a whole row at once.
  const auto closer = [nx](std::uint16_t* __restrict at, const std::uint16_t* __restrict other) {
    for (std::int64_t x = 0; x < nx; ++x) {
      const auto step = static_cast<std::uint16_t>((other ? other[x] : 0) + 1);
      at[x] = at[x] < step ? at[x] : step;
    }
  };
  cpu::parallel_for(nz, 4, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t z = begin; z < end; ++z) {
      std::uint16_t* slice = out + z * ny * nx;
      for (std::int64_t i = 0; i < ny * nx; ++i) slice[i] = mask[z * ny * nx + i] ? kMost : 0;
      for (std::int64_t y = 0; y < ny; ++y) line(slice + y * nx, nx, 1);
      for (std::int64_t y = 0; y < ny; ++y) closer(slice + y * nx, y ? slice + (y - 1) * nx : nullptr);
      for (std::int64_t y = ny - 1; y >= 0; --y) closer(slice + y * nx, y + 1 < ny ? slice + (y + 1) * nx : nullptr);
    }
  });
  if (flat) return;
  cpu::parallel_for(ny, 8, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t z = 0; z < nz; ++z)
      for (std::int64_t y = begin; y < end; ++y)
        closer(out + (z * ny + y) * nx, z ? out + ((z - 1) * ny + y) * nx : nullptr);
    for (std::int64_t z = nz - 1; z >= 0; --z)
      for (std::int64_t y = begin; y < end; ++y)
        closer(out + (z * ny + y) * nx, z + 1 < nz ? out + ((z + 1) * ny + y) * nx : nullptr);
  });
}

template Zones zones(const Volume<std::uint8_t>&, bool, std::int64_t, std::int64_t, const std::uint16_t*);
template Zones zones(const Volume<std::uint16_t>&, bool, std::int64_t, std::int64_t, const std::uint16_t*);

}  // namespace fastimg::radiomics
