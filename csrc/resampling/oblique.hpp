// Interpolation on any affine grid, point by point: kernels/fastimg/oblique.cuh.
#pragma once

#include <cstdint>

#include "fastimg/oblique.cuh"
#include "resampling/separable.hpp"

namespace fastimg::resampling {

struct Affine {
  double m[12];                // rows z, y, x: source index = m @ (k, j, i, 1)
  std::int64_t in[3], out[3];  // z, y, x
  bool edge;                   // outside: the nearest sample instead of the voxel given
  // A piece of a larger pair of grids: its first indices in them. Positions are those of the whole.
  std::int64_t from[3] = {0, 0, 0}, to[3] = {0, 0, 0};
  // Displacements (x, y, z) mm of each output, float or double; n: the source's inverse affine, rows z, y, x.
  const void* field = nullptr;
  bool field_double = false;
  double n[9] = {};
};

// `count` outputs of a row from target index (k, j, i) on: at most kPiece, i in whole blocks of kLanes.
constexpr std::int64_t kPiece = 512;
struct Piece {
  std::int64_t k, j, i, count;
};

// A piece in the arithmetic's type, with room for whole blocks behind it; inside[n]: 0 where a place lies outside.
template <class C>
struct ObliqueTable {
  void (*linear[kKinds])(const void* in, const Affine& a, const Fused<C>& fused, const Piece& piece, C* out,
                         unsigned char* inside);
  void (*spline[6])(const C* in, const Affine& a, const Piece& piece, C* out, unsigned char* inside);
};
FASTIMG_DECLARE_TABLE(ObliqueTable<float>, float_oblique)
FASTIMG_DECLARE_TABLE(ObliqueTable<double>, double_oblique)

// Places of voxels that are moved as they are, computed in double whatever the voxels: all dtypes pick the same ones.
struct Points {
  alignas(64) int z[kPiece], y[kPiece], x[kPiece];
  alignas(64) double wz[kPiece], wy[kPiece], wx[kPiece];
  alignas(64) unsigned char inside[kPiece];
};
// `at`: of the nearest sample, or of the first of the eight around, in a volume of less than 2^31 voxels; state:
// whether a place lies inside, and whether that sample, or all eight, do too (by choice the grid's edge is everywhere).
enum State : unsigned char { kOutside, kRim, kWhole };
struct PlaceTable {
  void (*where)(const Affine& a, const Piece& piece, Points& points);
  void (*nearest)(const Affine& a, const Piece& piece, std::int32_t* at, unsigned char* state);
  void (*first)(const Affine& a, const Piece& piece, std::int32_t* at, unsigned char* state);
};
FASTIMG_DECLARE_TABLE(PlaceTable, places)
inline fastimg::Point point_of(const Points& p, std::int64_t i) {
  return {p.z[i], p.y[i], p.x[i], p.wz[i], p.wy[i], p.wx[i], p.inside[i] != 0};
}

// degree 1: `in` of kind `from`; 2 to 5: coefficients of kind C, whose intake came before the prefilter.
template <class C>
void oblique(const void* in, Kind from, void* out, Kind to, const Affine& affine, int degree, const Fused<C>& fused,
             bool truncate, const void* outside, int threads);

void oblique_nearest(const void* in, void* out, std::int64_t size, const Affine& affine, const void* outside,
                     int threads);

}  // namespace fastimg::resampling
