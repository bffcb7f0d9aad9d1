// The loops of N4 over voxels, and the sharpening of their histogram; the lattice is Python's. Atoms:
// kernels/fastimg/n4.cuh. Masks are 0 or 1.
#pragma once

#include <cstdint>

#include "cpu/pool.hpp"

namespace fastimg::harmonize {

struct N4Bins {
  float low, slope;
  int bins;
};
// Cubic B-spline weights of n positions: position i touches control points start[i] .. start[i] + 3.
struct N4Axis {
  const std::int32_t* start;
  const double* weight;  // n x 4
  std::int64_t positions, controls;
};

struct N4Table {
  void (*subtract)(const float* log, const float* field, const std::uint8_t* mask, float* out, std::int64_t count,
                   float* low, float* high);
  void (*histogram)(const float* log, const std::uint8_t* mask, std::int64_t count, const N4Bins& bins, double* counts);
  void (*residual)(const float* log, const std::uint8_t* mask, std::int64_t count, const N4Bins& bins,
                   const float* expected, float* out);
  // One row of `width` values each: out[c] += weight * in, and out = sum of four weighted rows.
  void (*add_f32)(const float* in, double weight, double* out, std::int64_t width);
  void (*add_f64)(const double* in, double weight, double* out, std::int64_t width);
  void (*mix_f32)(const double* in, std::int64_t stride, const double* weight, float* out, std::int64_t width);
  void (*mix_f64)(const double* in, std::int64_t stride, const double* weight, double* out, std::int64_t width);
  void (*ratios)(const float* before, const float* after, float* ratio, std::int64_t count);
  void (*correct)(const float* image, const float* log_field, float* corrected, float* field, std::int64_t count);
};
FASTIMG_DECLARE_TABLE(N4Table, n4_table)

// out = log - field; low and high over the mask (+inf, -inf where it is empty).
void n4_subtract(const float* log, const float* field, const std::uint8_t* mask, float* out, std::int64_t count,
                 float* low, float* high, int threads);
// counts[bins]: each voxel shares one among its two neighbouring bins (triangular Parzen window).
void n4_histogram(const float* log, const std::uint8_t* mask, std::int64_t count, const N4Bins& bins, double* counts,
                  int threads);
// expected[bins]: E(u | v), the sharpened log intensity of each bin, by Wiener deconvolution of the counts with a
// Gaussian of this full width at half maximum (Sled et al., IEEE TMI 17:87, 1998). turns: cos and sin of 2 pi k / size,
// k below size / 2; size: a power of 2, 2 bins or more.
void n4_sharpen(const double* counts, const N4Bins& bins, const double* turns, int size, double fwhm, double noise,
                float* expected);
// out = log - expected(log) inside the mask, 0 outside.
void n4_residual(const float* log, const std::uint8_t* mask, std::int64_t count, const N4Bins& bins,
                 const float* expected, float* out, int threads);
// out (outer x controls x inner) = the axis' weights applied to in (outer x positions x inner), and back.
template <class T>
void n4_reduce(const T* in, const N4Axis& axis, std::int64_t outer, std::int64_t inner, double* out, int threads);
template <class T>
void n4_expand(const double* in, const N4Axis& axis, std::int64_t outer, std::int64_t inner, T* out, int threads);
// ITK's measure of convergence: the coefficient of variation of exp(before - after) over the mask. ITK keeps its
// running mean and sum of squares in float32, voxel after voxel: once a voxel's share is below half a unit in the last
// place, the mean stands still, and the measure is off by 10 to 20 %. The stop rule hangs on that, so the same sums are
// made here.
float n4_change(const float* before, const float* after, const std::uint8_t* mask, std::int64_t count);
// corrected = image / exp(log_field), field = exp(log_field).
void n4_correct(const float* image, const float* log_field, float* corrected, float* field, std::int64_t count,
                int threads);

}  // namespace fastimg::harmonize
