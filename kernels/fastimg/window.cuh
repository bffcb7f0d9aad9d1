// Intensity window, DICOM PS3.3 C.11.2.1.3.2 (LINEAR_EXACT) with the output range [0, 1]:
//
//     y = (clip(x, low, high) - low) * scale,   scale = 1 / (high - low)
//
// NaN stays NaN: both comparisons are false for it. Cost: 1 subtraction, 1 multiplication, 2 selections a voxel.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

FASTIMG_ATOM float window(float x, float low, float high, float scale) {
  x = x < low ? low : x;
  x = x > high ? high : x;
  return (x - low) * scale;
}

}  // namespace fastimg
