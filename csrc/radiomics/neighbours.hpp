// What a voxel's neighbours say, in one sweep for NGLDM and NGTDM: how many lie in the region, how many have about its
// level, and how far it is from their mean.
#pragma once

#include "radiomics/volume.hpp"

namespace fastimg::radiomics {

// Tables (levels, offsets + 1), added to, for the voxels of slices [z_begin, z_end):
//   dependent[i][k]   voxels of level i + 1 with k neighbours whose level differs by at most alpha;
//   valid[i][k]       voxels of level i + 1 with k neighbours in the region;
//   apart[i][k]       sum over those of |k * level - sum of the neighbours' levels|: k times the distance to the mean.
template <class T>
void neighbours(const Volume<T>& volume, const Offset* offsets, std::int64_t offset_count, std::int64_t z_begin,
                std::int64_t z_end, std::int64_t levels, std::int64_t alpha, std::int64_t* dependent,
                std::int64_t* valid, std::int64_t* apart, int threads);

}  // namespace fastimg::radiomics
