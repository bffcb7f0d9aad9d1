// Piecewise-linear map through knots (x0, y0) ... (xn-1, yn-1), x strictly increasing, in float32:
//
//     y = y[k] + (x - x[k]) * slope[k],  k = the last knot with x[k] <= x, within 0 and n - 2
//
// so that the first and the last segment go on beyond the ends (as in Nyul & Udupa 1999), and NaN stays NaN. The search
// counts the knots that are not above x: no branch, and equal on every machine. Cost: n comparisons and 3 operations.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

FASTIMG_ATOM float piecewise(float x, const float* knot, const float* level, const float* slope, int knots) {
  int k = 0;
  for (int i = 1; i < knots - 1; ++i) k += x >= knot[i] ? 1 : 0;
  return level[k] + (x - knot[k]) * slope[k];
}

}  // namespace fastimg
