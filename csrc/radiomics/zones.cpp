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
// Numbers 0 ... levels are no zones: voxels without any equal neighbour are counted there by level, where nobody asks
// for their place or distance.
struct Closed {
  std::int32_t level, size, nearest, serial;
};

template <class T, bool kDistances, class Sink>
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
        code_(volume.nx),
        more_(volume.nx),
        any_(volume.nx / 64 + 2),
        places_(volume.nx + 8) {
    // The zones of the slice before and of this one.
    const std::int64_t most = reserved_ + 2 * volume.ny * volume.nx + 1;
    parent_.resize(most);
    std::iota(parent_.begin(), parent_.end(), 0);
    now_.resize(most);
    before_.resize(most);
    level_.resize(most);
    number_.resize(most);
    if (kDistances) nearest_.assign(most, kFar);
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
  static constexpr bool kAlone = !kDistances && !Sink::kOrdered;

  std::int32_t* ids(std::int64_t z, std::int64_t y) { return ids_.data() + ((z & 1) * volume_.ny + y) * wide_ + 1; }

  static std::int32_t root(std::int32_t* parent, std::int32_t id) {
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
    meet_(at, reach, code_.data(), more_.data(), any_.data(), n);
    std::int32_t* own = ids(z, y) + begin;
    // The rows that a voxel can meet; one beyond the slice is outside the region, so that it is never met.
    const std::int64_t above = std::max<std::int64_t>(y - 1, 0), below = std::min(y + 1, volume_.ny - 1);
    const std::int32_t* const owners[4] = {ids(z, above) + begin, ids(z - 1, y) + begin, ids(z - 1, above) + begin,
                                           ids(z - 1, below) + begin};
    const std::int32_t* from[kCodes] = {own, own, own - 1};  // what the first two read is not used
    for (int r = 0; r < 4; ++r)
      for (int d = 0; d < 3; ++d) from[kOther + 3 * r + d] = owners[r] + d - 1;

    take(at, from, own, kDistances ? distances_ + (z * volume_.ny + y) * volume_.nx + begin : nullptr, n);
    join(at, owners, own, n);
  }

  // Gives each voxel of a row a zone. Selections are masks, as a branch on a code is mispredicted half of the time.
  __attribute__((noinline)) void take(const T* at, const std::int32_t* const* from, std::int32_t* own,
                                      const std::uint16_t* far, std::int64_t n) {
    std::int32_t next = zones_, *const now = now_.data(), *const nearest = nearest_.data();
    const std::uint8_t* const codes = code_.data();
    T* const levels = level_.data();
    for (std::int64_t x = 0; x < n; ++x) {
      const std::uint8_t code = codes[x];
      const T level = at[x];
      const std::int32_t is_new = -(code == kNew), is_none = -(code == kNone);
      const std::int32_t id = (from[code][x] & ~(is_new | is_none)) | (next & is_new) | (level & is_none);
      levels[next] = level;
      next -= is_new;
      own[x] = id;
      ++now[id];
      if (kDistances) nearest[id] = std::min<std::int32_t>(nearest[id], far[x]);
    }
    zones_ = next;
  }

  // Joins the zones of a row's voxels to those of the other voxels that they meet.
  __attribute__((noinline)) void join(const T* at, const std::int32_t* const* owners, const std::int32_t* own,
                                      std::int64_t n) {
    std::int32_t* const parent = parent_.data();
    const std::uint8_t* const more = more_.data();
    const std::int64_t steps[4] = {volume_.step_y(), volume_.step_z(), volume_.step_z() + volume_.step_y(),
                                   volume_.step_z() - volume_.step_y()};
    const std::int64_t count = places_of_(any_.data(), (n + 63) / 64, places_.data());
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t x = places_[i];
      std::int32_t zone = root(parent, own[x]);
      unsigned bits = more[x];
      do {
        const int bit = __builtin_ctz(bits), r = bit & 3;
        const std::int64_t there = bit >= 4 ? x + 1 : x - (at[x - steps[r]] != at[x]);
        const std::int32_t other = root(parent, owners[r][there]);
        // The older one stays root, so that one forward pass flattens the forest.
        const std::int32_t older = std::min(zone, other);
        parent[std::max(zone, other)] = older;
        zone = older;
        bits &= bits - 1;
      } while (bits);
    }
  }

  // The end of a slice: zones below `carried` are of slices before. Without branches: which zones end is chance.
  __attribute__((noinline)) void close(std::int32_t carried, std::int64_t z, bool all) {
    std::int32_t *const parent = parent_.data(), *const now = now_.data(), *const before = before_.data();
    std::int32_t *const number = number_.data(), *const nearest = nearest_.data(), *const serial = serial_.data();
    T* const level = level_.data();
    if (Sink::kOrdered)
      for (std::int32_t i = carried; i < zones_; ++i) serial[i] = serials_++;
    std::fill(before + carried, before + zones_, 0);
    for (std::int32_t i = reserved_; i < zones_; ++i) {
      const std::int32_t top = parent[parent[i]], joined = -(top != i);
      parent[i] = top;
      now[top] += now[i] & joined;
      before[top] += before[i] & joined;
      if (kDistances) nearest[top] = std::min(nearest[top], nearest[i]);
    }
    if (static_cast<std::int32_t>(closed_.size()) < zones_) closed_.resize(zones_);
    Closed* closed = closed_.data();
    std::int32_t kept = reserved_;
    for (std::int32_t i = reserved_; i < zones_; ++i) {
      const std::int32_t top = parent[i], size = before[i] + now[i];
      const Closed zone = {level[i], size, kDistances ? nearest[i] : 0, Sink::kOrdered ? serial[i] : 0};
      const bool stays = (now[i] != 0) & !all;
      number[i] = kept;
      number[i] = number[top];  // top comes before i, or is i
      parent[i] = i;
      now[i] = 0;
      before[kept] = size;
      level[kept] = static_cast<T>(zone.level);
      if (kDistances) {
        nearest[i] = kFar;
        nearest[kept] = zone.nearest;
      }
      if (Sink::kOrdered) serial[kept] = zone.serial;
      *closed = zone;
      kept += (top == i) & stays;
      closed += (top == i) & !stays;
    }
    if (kDistances && kept < zones_) nearest[kept] = kFar;
    for (const Closed* zone = closed_.data(); zone < closed; ++zone) sink_.zone(*zone);
    zones_ = kept;
    if (all) return;
    for (std::int64_t y = 0; y < volume_.ny; ++y) {
      std::int32_t* own = ids(z, y);
      for (std::int64_t x = extents_[y].begin; x < extents_[y].end; ++x) own[x] = number[own[x]];
    }
  }

  struct Extent {
    std::int64_t begin, end;
  };
  const Volume<T>& volume_;
  const std::uint16_t* distances_;
  Sink& sink_;
  decltype(RowTable<T>::meet) meet_ = row_table<T>().meet;
  decltype(RowTable<T>::places) places_of_ = row_table<T>().places;
  std::int32_t reserved_, zones_, serials_ = 0;
  std::int64_t wide_;
  // The zone of each voxel of the last two slices, with a border on each side of a row.
  std::vector<std::int32_t> ids_;
  std::vector<Extent> extents_;
  std::vector<std::uint8_t> code_, more_;
  std::vector<std::uint64_t> any_;
  std::vector<std::int32_t> places_;
  // Of zones: voxels in this slice and before it. Those not in use are their own parents and have no voxel.
  std::vector<std::int32_t> parent_, now_, before_, number_, nearest_, serial_;
  std::vector<T> level_;
  std::vector<Closed> closed_;
};

// All zones, each at the number of its first voxel.
struct List {
  static constexpr bool kOrdered = true;
  std::vector<Closed> found;
  void alone(std::int32_t, std::int32_t) {}
  void zone(const Closed& zone) {
    if (zone.serial >= static_cast<std::int32_t>(found.size())) found.resize(zone.serial + 1);
    found[zone.serial] = zone;
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
  void zone(const Closed& zone) {
    if (zone.size < small_)
      ++by_size_[zone.level * small_ + zone.size];
    else
      large_.push_back({zone.level, zone.size});
    if (reach_) ++by_distance_[zone.level * reach_ + zone.nearest];
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
  if (distances)
    Forest<T, true, List>(volume, levels, distances, list).run(flat, z_begin, z_end);
  else
    Forest<T, false, List>(volume, levels, nullptr, list).run(flat, z_begin, z_end);
  Zones found;
  for (const Closed& zone : list.found) {
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
    Forest<T, true, Counts>(volume, levels, distances, counts).run(flat, z_begin, z_end);
  else
    Forest<T, false, Counts>(volume, levels, nullptr, counts).run(flat, z_begin, z_end);
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
