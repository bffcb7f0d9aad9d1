#include "radiomics/zones.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace fastimg::radiomics {
namespace {

// Stretches of one level along x stand for their voxels: far fewer things to join.
struct Stretch {
  std::int32_t length, level;
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
Zones zones(const Volume<T>& volume, bool flat, std::int64_t z_begin, std::int64_t z_end,
            const std::uint16_t* distances) {
  std::vector<Stretch> stretches;
  std::vector<std::int32_t> nearest;
  Forest forest;
  // The stretch of each voxel of the last two slices, with a border on each side of a row; read only where the level is
  // equal, so never where it was not written.
  const std::int64_t wide = volume.nx + 2, slice = volume.ny * wide;
  std::vector<std::int32_t> ids(2 * slice);
  std::vector<std::uint8_t> meets(volume.nx);

  for (std::int64_t z = z_begin; z < z_end; ++z)
    for (std::int64_t y = 0; y < volume.ny; ++y) {
      const T* at = volume.row(z, y);
      std::int64_t x, last;
      extent(at, volume.nx, x, last);
      if (x == last) continue;
      // The rows that come before this one and touch it, and the stretches of their voxels.
      const T* rows[4];
      const std::int32_t* owners[4];
      int before = 0;
      const auto look = [&](std::int64_t dz, std::int64_t dy) {
        if (y + dy < 0 || y + dy >= volume.ny || z + dz < z_begin) return;
        rows[before] = at + dz * volume.step_z() + dy * volume.step_y();
        owners[before++] = ids.data() + ((z + dz) % 2) * slice + (y + dy) * wide + 1;
      };
      look(0, -1);
      if (!flat)
        for (std::int64_t dy = -1; dy <= 1; ++dy) look(-1, dy);
      // In which of those rows a voxel meets its level, a bit a row: one pass over bytes tells.
      std::uint8_t* __restrict meet = meets.data();
      std::fill(meets.begin(), meets.end(), 0);
      for (int r = 0; r < before; ++r) {
        const T* row = rows[r];
        for (std::int64_t i = x; i < last; ++i)
          meet[i] = static_cast<std::uint8_t>(meet[i] |
                                              ((row[i - 1] == at[i]) | (row[i] == at[i]) | (row[i + 1] == at[i])) << r);
      }
      std::int32_t* own = ids.data() + (z % 2) * slice + y * wide + 1;
      const std::uint16_t* far = distances ? distances + (z * volume.ny + y) * volume.nx : nullptr;
      while (x < last) {
        const T level = at[x];
        const std::int64_t begin = x;
        do ++x;
        while (at[x] == level);  // the border ends the last one
        if (level == 0) continue;
        if (stretches.size() == std::numeric_limits<std::int32_t>::max()) throw std::length_error("too many zones");
        stretches.push_back({static_cast<std::int32_t>(x - begin), level});
        const std::int32_t id = forest.add();
        if (far) nearest.push_back(*std::min_element(far + begin, far + x));
        for (std::int64_t i = begin; i < x; ++i) {
          own[i] = id;
          for (unsigned bits = meet[i]; bits; bits &= bits - 1) {
            const int r = __builtin_ctz(bits);
            std::int32_t joined = -1;
            for (std::int64_t n = i - 1; n <= i + 1; ++n)
              if (rows[r][n] == level && owners[r][n] != joined) forest.join(joined = owners[r][n], id);
          }
        }
      }
    }

  // Older stretches are roots of younger ones: in order, each parent is already the number of its zone (kept as ~zone).
  Zones found;
  for (std::size_t i = 0; i < stretches.size(); ++i) {
    std::int32_t& parent = forest.parent[i];
    if (parent == static_cast<std::int32_t>(i)) {
      parent = ~static_cast<std::int32_t>(found.level.size());
      found.level.push_back(stretches[i].level);
      found.size.push_back(0);
      if (distances) found.distance.push_back(std::numeric_limits<std::int32_t>::max());
    } else {
      parent = forest.parent[parent];
    }
    const std::int32_t zone = ~parent;
    found.size[zone] += stretches[i].length;
    if (distances) found.distance[zone] = std::min(found.distance[zone], nearest[i]);
  }
  return found;
}

void taxicab(const std::uint8_t* mask, std::int64_t nz, std::int64_t ny, std::int64_t nx, bool flat, std::uint16_t* out,
             int threads) {
  // Signed 16 bits: every processor has their minimum.
  constexpr std::int16_t kMost = 32766;
  auto* const distance = reinterpret_cast<std::int16_t*>(out);
  // Along each axis, forth and back: the city-block distance is exact in one pass of each.
  const auto line = [](std::int16_t* at, std::int64_t count, std::int64_t step) {
    int near = 0;
    for (std::int64_t i = 0; i < count; ++i)
      near = at[i * step] = static_cast<std::int16_t>(std::min<int>(at[i * step], near + 1));
    near = 0;
    for (std::int64_t i = count - 1; i >= 0; --i)
      near = at[i * step] = static_cast<std::int16_t>(std::min<int>(at[i * step], near + 1));
  };
  // Rows against rows: the same step for a whole row at once.
  const auto closer = [nx](std::int16_t* __restrict at, const std::int16_t* __restrict other) {
    for (std::int64_t x = 0; x < nx; ++x) {
      const auto step = static_cast<std::int16_t>((other ? other[x] : 0) + 1);
      at[x] = at[x] < step ? at[x] : step;
    }
  };
  cpu::parallel_for(nz, 4, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t z = begin; z < end; ++z) {
      std::int16_t* slice = distance + z * ny * nx;
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
        closer(distance + (z * ny + y) * nx, z ? distance + ((z - 1) * ny + y) * nx : nullptr);
    for (std::int64_t z = nz - 1; z >= 0; --z)
      for (std::int64_t y = begin; y < end; ++y)
        closer(distance + (z * ny + y) * nx, z + 1 < nz ? distance + ((z + 1) * ny + y) * nx : nullptr);
  });
}

template Zones zones(const Volume<std::uint8_t>&, bool, std::int64_t, std::int64_t, const std::uint16_t*);
template Zones zones(const Volume<std::uint16_t>&, bool, std::int64_t, std::int64_t, const std::uint16_t*);

}  // namespace fastimg::radiomics
