#include "radiomics/zones.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "radiomics/rows.hpp"

namespace fastimg::radiomics {
namespace {

// A provisional zone. Stretches of one level along x take the zone of the first equal neighbour that came before, so
// that most need no zone of their own; where two zones meet, the younger one's parent is the older one.
struct Label {
  std::int32_t parent, level, size, nearest;
};

std::int32_t root(std::vector<Label>& labels, std::int32_t id) {
  while (labels[id].parent != id) id = labels[id].parent = labels[labels[id].parent].parent;
  return id;
}

}  // namespace

template <class T>
Zones zones(const Volume<T>& volume, bool flat, std::int64_t z_begin, std::int64_t z_end,
            const std::uint16_t* distances) {
  if (volume.nz * volume.ny * volume.nx > std::numeric_limits<std::int32_t>::max())
    throw std::length_error("zones: the box has more than 2^31 - 1 voxels");
  const RowTable<T>& table = row_table<T>();
  std::vector<Label> labels;
  // The zone of each voxel of the last two slices, with a border on each side of a row; read only where the level is
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
      // The rows that come before this one and touch it, and the zones of their voxels.
      const T* rows[4];
      const std::int32_t* owners[4];
      int before = 0;
      const auto look = [&](std::int64_t dz, std::int64_t dy) {
        if (y + dy < 0 || y + dy >= volume.ny || z + dz < z_begin) return;
        rows[before] = at + dz * volume.step_z() + dy * volume.step_y() + x;
        owners[before++] = ids.data() + ((z + dz) % 2) * slice + (y + dy) * wide + 1 + x;
      };
      look(0, -1);
      if (!flat)
        for (std::int64_t dy = -1; dy <= 1; ++dy) look(-1, dy);
      table.meet(at + x, rows, before, meets.data(), last - x);
      std::int32_t* own = ids.data() + (z % 2) * slice + y * wide + 1 + x;
      const std::uint16_t* far = distances ? distances + (z * volume.ny + y) * volume.nx + x : nullptr;
      at += x;
      last -= x;
      x = 0;
      while (x < last) {
        const T level = at[x];
        const std::int64_t begin = x;
        std::int32_t zone = -1;
        if (level == 0) {
          do ++x;
          while (at[x] == 0);  // the last voxel of the row is not 0
          continue;
        }
        do {
          for (unsigned bits = meets[x]; bits; bits &= bits - 1) {
            const int bit = __builtin_ctz(bits), r = bit & 3;
            const std::int64_t n = bit >= 4 ? x + 1 : x - (rows[r][x - 1] == level);
            std::int32_t other = owners[r][n];
            if (other == zone) continue;
            other = root(labels, other);
            if (zone < 0) {
              zone = other;
            } else if (other != zone) {  // the older one stays root, so that one forward pass flattens the forest
              labels[std::max(zone, other)].parent = std::min(zone, other);
              zone = std::min(zone, other);
            }
          }
          ++x;
        } while (at[x] == level);  // the border ends the last one
        if (zone < 0) {
          zone = static_cast<std::int32_t>(labels.size());
          labels.push_back({zone, level, 0, std::numeric_limits<std::int32_t>::max()});
        }
        labels[zone].size += static_cast<std::int32_t>(x - begin);
        if (far)
          labels[zone].nearest = std::min(labels[zone].nearest, std::int32_t{*std::min_element(far + begin, far + x)});
        for (std::int64_t i = begin; i < x; ++i) own[i] = zone;
      }
    }

  // Older zones are roots of younger ones: in order, each parent is already the number of its zone (kept as ~number).
  Zones found;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    Label& label = labels[i];
    if (label.parent == static_cast<std::int32_t>(i)) {
      label.parent = ~static_cast<std::int32_t>(found.level.size());
      found.level.push_back(label.level);
      found.size.push_back(0);
      if (distances) found.distance.push_back(std::numeric_limits<std::int32_t>::max());
    } else {
      label.parent = labels[label.parent].parent;
    }
    const std::int32_t zone = ~label.parent;
    found.size[zone] += label.size;
    if (distances) found.distance[zone] = std::min(found.distance[zone], label.nearest);
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
