// Votes of labels (kernels/fastimg/vote.cuh): voxels of 1, 2, 4 or 8 bytes are compared, never computed with.
#pragma once

#include "resampling/oblique.hpp"

namespace fastimg::resampling {

void label(const void* in, void* out, std::int64_t size, const Axis<double>& z, const Axis<double>& y,
           const Axis<double>& x, const void* outside, int threads);

void oblique_label(const void* in, void* out, std::int64_t size, const Affine& affine, const void* outside,
                   int threads);

}  // namespace fastimg::resampling
