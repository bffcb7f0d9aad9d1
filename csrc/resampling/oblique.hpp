// Interpolation on any affine grid, point by point: kernels/fastimg/oblique.cuh.
#pragma once

#include <cstdint>

#include "resampling/separable.hpp"

namespace fastimg::resampling {

struct Affine {
  double m[12];                // rows z, y, x: source index = m @ (k, j, i, 1)
  std::int64_t in[3], out[3];  // z, y, x
  bool edge;                   // outside: the nearest sample instead of the voxel given
};

// One row of outputs in the arithmetic's type, `count` of them from target index (k, j, 0); inside[i]: 0 or 1. For
// voxels that are moved as they are (nearest), `place` is the index of the sample, -1 outside.
template <class C>
struct ObliqueTable {
  void (*linear[kKinds])(const void* in, const Affine& a, const Fused<C>& fused, std::int64_t k, std::int64_t j,
                         C* out, unsigned char* inside);
  void (*spline[6])(const C* in, const Affine& a, std::int64_t k, std::int64_t j, C* out, unsigned char* inside);
  void (*nearest)(const Affine& a, std::int64_t k, std::int64_t j, std::int64_t* place);
};
FASTIMG_DECLARE_TABLE(ObliqueTable<float>, float_oblique)
FASTIMG_DECLARE_TABLE(ObliqueTable<double>, double_oblique)

// degree 1: `in` of kind `from`; 2 to 5: coefficients of kind C, whose intake came before the prefilter.
template <class C>
void oblique(const void* in, Kind from, void* out, Kind to, const Affine& affine, int degree,
             const Fused<C>& fused, bool truncate, const void* outside, int threads);

void oblique_nearest(const void* in, void* out, std::int64_t size, const Affine& affine, const void* outside,
                     int threads);

}  // namespace fastimg::resampling
