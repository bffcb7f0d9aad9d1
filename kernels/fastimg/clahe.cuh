// Contrast-limited adaptive histogram equalisation (Zuiderveld, Graphics Gems IV, 1994), in the arithmetic of
// scikit-image's equalize_adapthist: 2^14 grey levels, of which `step` share a bin; maps of the tiles around a voxel
// are mixed linearly along each axis.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

// The bin of a value between low and high: scale = 16383 / (high - low), inverse = 1 / step. NaN and what lies outside
// go to the ends. Cost: 7 operations.
FASTIMG_ATOM u8 clahe_level(double x, double low, double scale, double inverse) {
  double grey = (x - low) * scale;
  grey = grey > 0.0 ? grey : 0.0;
  grey = grey < 16383.0 ? grey : 16383.0;
  const double whole = (double)(int)(grey + 0.5);
  return (u8)(int)((whole + 0.5) * inverse);  // whole / step rounded down; half a level keeps borders off
}

// Which two tiles an index lies between along an axis, and the share of the second.
struct ClaheBetween {
  int first, second;
  float share;
};
FASTIMG_ATOM ClaheBetween clahe_between(int index, int tile, int tiles) {
  const int at = index + tile / 2, block = at / tile;
  ClaheBetween b;
  b.first = block > 0 ? block - 1 : 0;
  b.second = block < tiles ? block : tiles - 1;
  b.share = (float)(at - block * tile) / (float)tile;
  return b;
}

FASTIMG_ATOM float clahe_mix(float a, float b, float share) { return a + (b - a) * share; }

// An index beyond the end, mirrored about the last one (as numpy's "reflect").
FASTIMG_ATOM int clahe_mirror(int index, int length) {
  if (index < length) return index;
  if (length == 1) return 0;
  const int period = 2 * (length - 1);
  index %= period;
  return index < length ? index : period - index;
}

}  // namespace fastimg
