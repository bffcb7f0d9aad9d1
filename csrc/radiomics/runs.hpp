// Grey level runs: how many stretches of each length of one level lie along each direction.
#pragma once

#include "radiomics/volume.hpp"

namespace fastimg::radiomics {

// counts[k][level - 1][length - 1] += runs along directions[k] within slices [z_begin, z_end): those are the whole box
// where a direction leaves its slice. longest: the size of the last axis, at least the longest edge of the box.
// Directions have components -1, 0, 1.
template <class T>
void glrlm(const Volume<T>& volume, const Offset* directions, std::int64_t direction_count, std::int64_t z_begin,
           std::int64_t z_end, std::int64_t levels, std::int64_t longest, std::int64_t* counts, int threads);

}  // namespace fastimg::radiomics
