// Local intensity peaks (IBSI reference manual 3.2): means over a sphere around each voxel of the region.
#pragma once

#include <cstdint>

namespace fastimg::radiomics {

// image: (nz, ny, nx), NaN where there is no voxel; inside: same shape, voxels whose spheres lie within the box.
// `radius` and spacing in mm. local: the mean around the brightest voxel (the highest mean when several are the
// brightest); global: the highest mean around any voxel of `inside`.
void local_peaks(const double* image, const std::uint8_t* inside, std::int64_t nz, std::int64_t ny, std::int64_t nx,
                 const double* spacing, double radius, double* local, double* global, int threads);

}  // namespace fastimg::radiomics
