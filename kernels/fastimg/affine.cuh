// Shift and scale: y = (x - shift) * scale, in float32. z-score: shift = mean, scale = 1 / sd. Cost: 2 operations a
// voxel.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

FASTIMG_ATOM float affine(float x, float shift, float scale) { return (x - shift) * scale; }

}  // namespace fastimg
