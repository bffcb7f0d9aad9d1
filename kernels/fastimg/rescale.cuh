// Stored value to modality unit (PS3.3 C.11.1.1.2: output = slope * stored + intercept) and the bits that are stored
// (PS3.5 8.1.1: Bits Stored of Bits Allocated, highest at High Bit; the others may hold anything).
//
//     rescale(v) = (float) (v * slope + intercept) in float64: rounded once.  Cost: 1 multiplication, 1 addition, 2
//     conversions a voxel.
//
// rescale_whole is the same value in float32 where slope and intercept are whole numbers and every intermediate value
// is below 2^24: all of them are then exact in float32, so both give the same bits at half the width.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

FASTIMG_ATOM float rescale(double stored, double slope, double intercept) {
  return (float)(stored * slope + intercept);
}

FASTIMG_ATOM float rescale_whole(float stored, float slope, float intercept) { return stored * slope + intercept; }

// left = bits allocated - 1 - high bit, right = bits allocated - bits stored; T signed: the sign is extended.
template <class T>
FASTIMG_ATOM T stored_bits(T word, int left, int right) {
  return (T)((T)(word << left) >> right);
}
FASTIMG_ATOM float stored_bits(float word, int, int) { return word; }
FASTIMG_ATOM double stored_bits(double word, int, int) { return word; }

}  // namespace fastimg
