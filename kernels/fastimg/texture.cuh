// What the texture sweeps ask of a voxel and a neighbour. Levels are whole numbers from 1; 0 is outside the region.
// Integers only: the same counts everywhere. A handful of comparisons each.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

// NGLDM, IBSI reference manual 3.11: the neighbour lies in the region and its level is at most alpha away.
template <class T>
FASTIMG_ATOM bool depends(T level, T other, i64 alpha) {
  const i64 apart = (i64)level - (i64)other;
  return (other != 0) & ((apart < 0 ? -apart : apart) <= alpha);
}

// NGTDM, 3.10: |level - mean of n neighbours| times n.
FASTIMG_ATOM i64 apart_from_mean(i64 level, i64 n, i64 sum) {
  const i64 apart = n * level - sum;
  return apart < 0 ? -apart : apart;
}

// GLRLM, 3.7: a run of two or more begins here, seen from the voxels before and after along a direction.
template <class T>
FASTIMG_ATOM bool opens_run(T before, T level, T after) {
  return (level != before) & (level == after) & (level != 0);
}

}  // namespace fastimg
