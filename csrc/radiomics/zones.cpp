#include "radiomics/zones.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <stdexcept>

#include "radiomics/rows.hpp"

namespace fastimg::radiomics {
namespace {

constexpr std::int32_t kFar = std::numeric_limits<std::int32_t>::max();

// Union-find over provisional zones, slice by slice. A voxel takes the zone of one equal voxel before it, or a new one,
// without a branch; voxels that meet equal ones of other zones join them afterwards. At the end of a slice, zones with
// no voxel in it are closed: they are told to the sink and forgotten, and the others are numbered anew. So the forest
// holds what two slices hold, and stays in the cache.
//
// Numbers 0 ... levels are no zones: with kAlone, voxels without any equal neighbour are counted there by level.
template <class T, bool kAlone, class Sink>
class Forest {
 public:
  Forest(const Volume<T>& volume, std::int64_t levels, const std::uint16_t* distances, Sink& sink)
      : volume_(volume),
        distances_(distances),
        sink_(sink),
        reserved_(static_cast<std::int32_t>(levels + 1)),
        zones_(reserved_),
        wide_(volume.nx + 2),
        ids_(2 * volume.ny * wide_),
        extents_(volume.ny),
        first_(volume.nx),
        more_(volume.nx),
        any_(volume.nx / 64 + 2) {
    // The zones of the slice before and of this one.
    const std::int64_t most = reserved_ + 2 * volume.ny * volume.nx + 1;
    parent_.resize(most);
    std::iota(parent_.begin(), parent_.end(), 0);
    now_.resize(most);
    before_.resize(most);
    level_.resize(most);
    number_.resize(most);
    if (distances) nearest_.assign(most, kFar);
    if (Sink::kOrdered) serial_.resize(most);
  }

  void run(bool flat, std::int64_t z_begin, std::int64_t z_end) {
    for (std::int64_t z = z_begin; z < z_end; ++z) {
      const std::int32_t carried = zones_;
      for (std::int64_t y = 0; y < volume_.ny; ++y) row(z, y, !flat && z > z_begin, !flat && z + 1 < z_end);
      close(carried, z, flat || z + 1 == z_end);
    }
    if (kAlone)
      for (std::int32_t level = 1; level < reserved_; ++level) sink_.alone(level, now_[level]);
  }

 private:
  std::int32_t* ids(std::int64_t z, std::int64_t y) { return ids_.data() + ((z & 1) * volume_.ny + y) * wide_ + 1; }

  std::int32_t root(std::int32_t id) {
    std::int32_t* parent = parent_.data();
    while (parent[id] != id) id = parent[id] = parent[parent[id]];
    return id;
  }

  void row(std::int64_t z, std::int64_t y, bool back, bool ahead) {
    const T* at = volume_.row(z, y);
    std::int64_t begin, end;
    extent(at, volume_.nx, begin, end);
    extents_[y] = {begin, end};
    if (begin == end) return;
    at += begin;
    const std::int64_t n = end - begin;
    const Reach reach = {volume_.step_y(), back ? volume_.step_z() : 0, ahead ? volume_.step_z() : 0, kAlone};
    meet_(at, reach, first_.data(), more_.data(), any_.data(), n);
    std::int32_t* own = ids(z, y) + begin;
    // The rows that a voxel can meet; one beyond the slice is outside the region, so that it is never met.
    const std::int64_t above = std::max<std::int64_t>(y - 1, 0), below = std::min(y + 1, volume_.ny - 1);
    const std::int32_t* const owners[4] = {ids(z, above) + begin, ids(z - 1, y) + begin, ids(z - 1, above) + begin,
                                           ids(z - 1, below) + begin};
    const std::int32_t* from[kCodes] = {own, own, own - 1};
    for (int r = 0; r < 4; ++r)
      for (int d = 0; d < 3; ++d) from[kOther + 3 * r + d] = owners[r] + d - 1;

    std::int32_t next = zones_, *const now = now_.data();
    T* const level = level_.data();
    const std::uint16_t* far = distances_ ? distances_ + (z * volume_.ny + y) * volume_.nx + begin : nullptr;
    for (std::int64_t x = 0; x < n; ++x) {
      const std::uint8_t code = first_[x];
      std::int32_t id = from[code][x];
      id = code == kNew ? next : id;
      id = code == kNone ? at[x] : id;
      level[next] = at[x];
      next += code == kNew;
      own[x] = id;
      ++now[id];
      if (far) nearest_[id] = std::min<std::int32_t>(nearest_[id], far[x]);
    }
    zones_ = next;

    const std::int64_t steps[4] = {volume_.step_y(), volume_.step_z(), volume_.step_z() + volume_.step_y(),
                                   volume_.step_z() - volume_.step_y()};
    for (std::int64_t word = 0; word * 64 < n; ++word)
      for (std::uint64_t places = any_[word]; places; places &= places - 1) {
        const std::int64_t x = 64 * word + __builtin_ctzll(places);
        std::int32_t zone = root(own[x]);
        for (unsigned bits = more_[x]; bits; bits &= bits - 1) {
          const int bit = __builtin_ctz(bits), r = bit & 3;
          const std::int64_t there = bit >= 4 ? x + 1 : x - (at[x - steps[r]] != at[x]);
          const std::int32_t other = root(owners[r][there]);
          // The older one stays root, so that one forward pass flattens the forest.
          const std::int32_t older = std::min(zone, other);
          parent_[std::max(zone, other)] = older;
          zone = older;
        }
      }
  }

  // The end of a slice: zones below `carried` are of slices before.
  void close(std::int32_t carried, std::int64_t z, bool all) {
    std::int32_t *const parent = parent_.data(), *const now = now_.data(), *const before = before_.data();
    if (Sink::kOrdered)
      for (std::int32_t i = carried; i < zones_; ++i) serial_[i] = serials_++;
    std::fill(before + carried, before + zones_, 0);
    for (std::int32_t i = reserved_; i < zones_; ++i) {
      const std::int32_t top = parent[parent[i]];
      const std::int32_t own = top == i ? 0 : -1;
      parent[i] = top;
      now[top] += now[i] & own;
      before[top] += before[i] & own;
      if (distances_) nearest_[top] = std::min(nearest_[top], nearest_[i]);
    }
    std::int32_t kept = reserved_;
    for (std::int32_t i = reserved_; i < zones_; ++i) {
      const std::int32_t top = parent[i];
      parent[i] = i;
      if (top != i) {
        number_[i] = number_[top];
      } else if (now[i] && !all) {
        number_[i] = kept;
        before[kept] = before[i] + now[i];
        level_[kept] = level_[i];
        if (distances_) nearest_[kept] = nearest_[i];
        if (Sink::kOrdered) serial_[kept] = serial_[i];
        ++kept;
      } else {
        sink_.zone(Sink::kOrdered ? serial_[i] : 0, level_[i], before[i] + now[i], distances_ ? nearest_[i] : 0);
      }
    }
    std::fill(now + reserved_, now + zones_, 0);
    if (distances_) std::fill(nearest_.begin() + kept, nearest_.begin() + zones_, kFar);
    zones_ = kept;
    if (all) return;
    for (std::int64_t y = 0; y < volume_.ny; ++y) {
      std::int32_t* own = ids(z, y);
      for (std::int64_t x = extents_[y].begin; x < extents_[y].end; ++x) own[x] = number_[own[x]];
    }
  }

  struct Extent {
    std::int64_t begin, end;
  };
  const Volume<T>& volume_;
  const std::uint16_t* distances_;
  Sink& sink_;
  decltype(RowTable<T>::meet) meet_ = row_table<T>().meet;
  std::int32_t reserved_, zones_, serials_ = 0;
  std::int64_t wide_;
  // The zone of each voxel of the last two slices, with a border on each side of a row.
  std::vector<std::int32_t> ids_;
  std::vector<Extent> extents_;
  std::vector<std::uint8_t> first_, more_;
  std::vector<std::uint64_t> any_;
  // Of zones: voxels in this slice and before it. Those not in use are their own parents and have no voxel.
  std::vector<std::int32_t> parent_, now_, before_, number_, nearest_, serial_;
  std::vector<T> level_;
};

// All zones, each at the number of its first voxel.
struct List {
  static constexpr bool kOrdered = true;
  struct Zone {
    std::int32_t level, size, nearest;
  };
  std::vector<Zone> found;
  void alone(std::int32_t, std::int32_t) {}
  void zone(std::int32_t serial, std::int32_t level, std::int32_t size, std::int32_t nearest) {
    if (serial >= static_cast<std::int32_t>(found.size())) found.resize(serial + 1);
    found[serial] = {level, size, nearest};
  }
};

// Small sizes in a table that stays in the cache, others in a list.
class Counts {
 public:
  static constexpr bool kOrdered = false;
  Counts(std::int64_t levels, std::int64_t reach)
      : small_(levels > 4096 ? 8 : 64),
        reach_(reach),
        by_size_((levels + 1) * small_),
        by_distance_((levels + 1) * reach) {}
  void alone(std::int32_t level, std::int32_t count) { by_size_[level * small_ + 1] += count; }
  void zone(std::int32_t, std::int32_t level, std::int32_t size, std::int32_t nearest) {
    if (size < small_)
      ++by_size_[level * small_ + size];
    else
      large_.push_back({level, size});
    if (reach_) ++by_distance_[level * reach_ + nearest];
  }
  Tallies result() {
    std::sort(large_.begin(), large_.end());
    Tallies tallies;
    auto next = large_.begin();
    const auto levels = static_cast<std::int32_t>(by_size_.size() / small_) - 1;
    for (std::int32_t level = 1; level <= levels; ++level) {
      row(level, by_size_.data() + level * small_, small_, tallies.size);
      while (next != large_.end() && next->first == level) {
        const auto same = std::upper_bound(next, large_.end(), *next);
        add(level, next->second, same - next, tallies.size);
        next = same;
      }
      row(level, by_distance_.data() + level * reach_, reach_, tallies.distance);
    }
    return tallies;
  }

 private:
  static void add(std::int64_t level, std::int64_t value, std::int64_t count, Tally& to) {
    to.level.push_back(level);
    to.value.push_back(value);
    to.zones.push_back(count);
  }
  static void row(std::int64_t level, const std::uint32_t* counts, std::int64_t n, Tally& to) {
    for (std::int64_t value = 0; value < n; ++value)
      if (counts[value]) add(level, value, counts[value], to);
  }
  std::int64_t small_, reach_;
  std::vector<std::uint32_t> by_size_, by_distance_;
  std::vector<std::pair<std::int32_t, std::int32_t>> large_;
};

template <class T>
void check(const Volume<T>& volume) {
  if (volume.nz * volume.ny * volume.nx > std::numeric_limits<std::int32_t>::max())
    throw std::length_error("zones: the box has more than 2^31 - 1 voxels");
}

}  // namespace

template <class T>
Zones zones(const Volume<T>& volume, bool flat, std::int64_t z_begin, std::int64_t z_end, std::int64_t levels,
            const std::uint16_t* distances) {
  check(volume);
  List list;
  Forest<T, false, List>(volume, levels, distances, list).run(flat, z_begin, z_end);
  Zones found;
  for (const List::Zone& zone : list.found) {
    if (!zone.size) continue;
    found.level.push_back(zone.level);
    found.size.push_back(zone.size);
    if (distances) found.distance.push_back(zone.nearest);
  }
  return found;
}

template <class T>
Tallies zone_tallies(const Volume<T>& volume, bool flat, std::int64_t z_begin, std::int64_t z_end, std::int64_t levels,
                     const std::uint16_t* distances) {
  check(volume);
  // A voxel is at most this far from outside.
  const std::int64_t reach = distances ? std::max({volume.nz, volume.ny, volume.nx}) + 1 : 0;
  Counts counts(levels, reach);
  if (distances)
    Forest<T, false, Counts>(volume, levels, distances, counts).run(flat, z_begin, z_end);
  else
    Forest<T, true, Counts>(volume, levels, nullptr, counts).run(flat, z_begin, z_end);
  return counts.result();
}

template Zones zones(const Volume<std::uint8_t>&, bool, std::int64_t, std::int64_t, std::int64_t, const std::uint16_t*);
template Zones zones(const Volume<std::uint16_t>&, bool, std::int64_t, std::int64_t, std::int64_t,
                     const std::uint16_t*);
template Tallies zone_tallies(const Volume<std::uint8_t>&, bool, std::int64_t, std::int64_t, std::int64_t,
                              const std::uint16_t*);
template Tallies zone_tallies(const Volume<std::uint16_t>&, bool, std::int64_t, std::int64_t, std::int64_t,
                              const std::uint16_t*);

}  // namespace fastimg::radiomics
