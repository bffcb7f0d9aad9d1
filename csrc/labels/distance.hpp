// Distance to the nearest background voxel: exact, one axis after another.
#pragma once

#include <cstdint>

namespace fastimg::labels {

// out (z, y, x): 0 where mask is 0, else the distance to the nearest such voxel's centre, infinity if there is none.
// spacing: z, y, x. Computed in double, rounded once to float. Peak memory: 8 bytes a voxel beside out.
// Euclidean: lower envelopes of parabolas (Felzenszwalb and Huttenlocher 2012). Taxicab: two sweeps an axis.
void distance(const unsigned char* mask, float* out, std::int64_t z, std::int64_t y, std::int64_t x,
              const double* spacing, bool taxicab, int threads);

}  // namespace fastimg::labels
