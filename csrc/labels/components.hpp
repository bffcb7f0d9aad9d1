// Connected components by runs and union-find (Rosenfeld 1966; union by smaller number, path halving).
#pragma once

#include <cstdint>

namespace fastimg::labels {

// out (z, y, x): 0 outside, else 1 ... n in the order of each component's first voxel. connectivity: 6, 18 or 26.
// Returns n. Slabs of 16 planes are joined on the pool's threads, their borders afterwards in order.
std::int64_t components(const unsigned char* mask, std::int32_t* out, std::int64_t z, std::int64_t y, std::int64_t x,
                        int connectivity, int threads);

}  // namespace fastimg::labels
