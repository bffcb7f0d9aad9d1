// Piecewise-linear map through knots (x0, y0) ... (xn-1, yn-1), x strictly increasing, in float32:
//
//     y = y[k] + (x - x[k]) * slope[k],  k = the last knot with x[k] <= x, within 0 and n - 2
//
// so that the first and the last segment go on beyond the ends (as in Nyul & Udupa, MRM 42:1072, 1999), and NaN stays
// NaN. `knot` has a power of two entries: knot n - 1 and all after it are +infinity, which the search never passes.
// Cost: log2(entries) loads and comparisons, and 3 operations.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

FASTIMG_ATOM int segment(float x, const float* knot, int entries) {
  int k = 0;
  for (int step = entries / 2; step > 0; step /= 2) k += x >= knot[k + step] ? step : 0;
  return k;
}

FASTIMG_ATOM float on_segment(float x, float knot, float level, float slope) { return level + (x - knot) * slope; }

}  // namespace fastimg
