// Connected zones of one grey level, and how far a voxel is from outside its region.
#pragma once

#include <vector>

#include "radiomics/volume.hpp"

namespace fastimg::radiomics {

struct Zones {
  std::vector<std::int32_t> level, distance;
  std::vector<std::int64_t> size;
};

// Zones of slices [z_begin, z_end), in the order of their first voxel. flat: neighbours within a slice (8) only,
// else 26. distances: of each voxel of the box (nz, ny, nx), or null; a zone has the smallest of its voxels.
template <class T>
Zones zones(const Volume<T>& volume, bool flat, std::int64_t z_begin, std::int64_t z_end, std::int64_t levels,
            const std::uint16_t* distances);

// How many of them have each level and size, and each level and distance: rows of those that occur, in order.
struct Tally {
  std::vector<std::int64_t> level, value, zones;
};
struct Tallies {
  Tally size, distance;
};
template <class T>
Tallies zone_tallies(const Volume<T>& volume, bool flat, std::int64_t z_begin, std::int64_t z_end, std::int64_t levels,
                     const std::uint16_t* distances);

// Taxicab distance of each voxel of a mask to the nearest one outside: 1 at the edge, 0 outside. The box (nz, ny, nx)
// is surrounded by outside. flat: within a slice only. Distances stop at 32767.
void taxicab(const std::uint8_t* mask, std::int64_t nz, std::int64_t ny, std::int64_t nx, bool flat, std::uint16_t* out,
             int threads);

}  // namespace fastimg::radiomics
