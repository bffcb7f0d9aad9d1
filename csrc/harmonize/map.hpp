// Voxel-wise maps to float32: shift and scale, piecewise linear, and by table for 16 bits. Atoms in kernels/fastimg.
#pragma once

#include <cstdint>

#include "cpu/pool.hpp"

namespace fastimg::harmonize {

// `count` entries, a power of two: see kernels/fastimg/piecewise.cuh.
struct Knots {
  const float *knot, *level, *slope;
  int count;
};
// A place among the knots for each of many equal buckets of values: the search begins at the knots of lower buckets,
// and only a bucket's own are left to it.
struct Buckets {
  const std::int32_t* start;
  const float* knot;  // and so many infinities that the search stays inside
  float low, scale, last;
  int step;  // the search's first
};
template <class T>
using AffineRow = void (*)(const T* in, float* out, std::int64_t count, float shift, float scale);
template <class T>
using PiecewiseRow = void (*)(const T* in, float* out, std::int64_t count, const Knots& knots, const Buckets& buckets);

#define FASTIMG_EACH_MAPPED(M) \
  M(std::int8_t, i8)           \
  M(std::uint8_t, u8) M(std::int16_t, i16) M(std::uint16_t, u16) M(std::int32_t, i32) M(float, f32) M(double, f64)

struct MapTable {
#define FASTIMG_FIELD(T, name) \
  AffineRow<T> affine_##name;  \
  PiecewiseRow<T> piecewise_##name;
  FASTIMG_EACH_MAPPED(FASTIMG_FIELD)
#undef FASTIMG_FIELD
};
FASTIMG_DECLARE_TABLE(MapTable, map_table)

// in and out hold `count` values and do not overlap.
template <class T>
void affine(const T* in, float* out, std::int64_t count, float shift, float scale, int threads);
template <class T>
void piecewise(const T* in, float* out, std::int64_t count, const Knots& knots, int threads);
// out = table[value - least value of T]; the table has 2^16 (or 2^8) entries.
template <class T>
void lookup(const T* in, float* out, std::int64_t count, const float* table, int threads);

}  // namespace fastimg::harmonize
