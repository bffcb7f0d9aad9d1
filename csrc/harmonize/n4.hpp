// The loops of N4 over voxels, lattices and histograms. Atoms: kernels/fastimg/n4.cuh. The logarithm of a voxel that
// does not count is NaN.
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
// Voxels that do not count cost nothing where they lie before or after all others of their row (z, y). Arrays "of the
// rows" hold of each row whole blocks of kN4Block voxels from x = begin on, at offset[row] .. offset[row + 1]; begin is
// a multiple of the block, and nothing counts where a block reaches beyond the image.
constexpr int kN4Block = 16;
struct N4Grid {
  N4Axis z, y, x;
  const std::int32_t* begin;
  const std::int64_t* offset;
  std::int64_t width() const { return (x.positions + kN4Block - 1) / kN4Block * kN4Block; }
};

constexpr int kN4Tables = 4;  // of a histogram, 2 (bins + 1) values each, 0 at first
struct N4Table {
  // out = log - field; ends: the least and then the greatest value of kN4Block lanes, so far.
  void (*subtract)(const float* log, const float* field, float* out, std::int64_t count, float* ends);
  void (*histogram)(const float* log, std::int64_t count, const N4Bins& bins, double* tables, double* counts);
  void (*residual)(const float* log, std::int64_t count, const N4Bins& bins, const float* value, const float* step,
                   float* out);
  // Four rows, `stride` apart: out[k] += weight[k] * in; out = sum of so many weighted rows of whole blocks; rows
  // summed up at their control points of x; out = sum of four weighted rows.
  void (*spread)(const float* in, const double* weight, double* out, std::int64_t stride, std::int64_t width);
  void (*sum)(const double* in, std::int64_t stride, const double* weight, std::int64_t rows, double* out,
              std::int64_t width);
  void (*cells)(const double* in, std::int64_t stride, std::int64_t rows, const N4Axis& x, double* out);
  void (*mix_f32)(const double* in, std::int64_t stride, const double* weight, float* out, std::int64_t width);
  void (*mix_f64)(const double* in, std::int64_t stride, const double* weight, double* out, std::int64_t width);
  void (*transform)(const double* from_re, const double* from_im, const std::int32_t* order, int size,
                    const double* turns, double sign, double* re, double* im);
  void (*ratio)(const float* before, const float* after, const std::uint8_t* mask, float* out, std::int64_t count);
  void (*correct)(const float* image, const float* log_field, float* corrected, float* field, std::int64_t count);
};
FASTIMG_DECLARE_TABLE(N4Table, n4_table)

// The least and the greatest logarithm that the field leaves (+inf, -inf where nothing counts).
struct N4Ends {
  float low, high;
};
// field = the spline of a lattice (z, y, x), out = log - field, over the rows.
N4Ends n4_evaluate(const double* lattice, const N4Grid& grid, const float* log, float* field, float* out, int threads);
// share[z, y, x]: sums over the voxels of confidence x the grid's weights, at each control point.
void n4_share(const float* confidence, const N4Grid& grid, double* share, int threads);
// What does not change within a level of the spline.
struct N4Level {
  const float *log, *confidence;  // confidence: null for 1
  N4Grid field, fit;              // weights of the spline, and of the fit
  const double* share;            // of each control point in the fit
  // The histogram is deconvolved with a Gaussian of this full width at half maximum. turns: cos and sin of pi k / half
  // of each half = 1, 2, 4 .. size / 2 in turn, k below half; size: a power of 2, 8 and twice the bins or more.
  const double* turns;
  int bins, size;
  double fwhm, noise;
};
// One iteration: the lattice takes in what sharpening takes from `rest`, whose ends are given; then field, rest and
// their ends are the new lattice's.
N4Ends n4_iterate(const N4Level& level, N4Ends ends, double* lattice, float* field, float* rest, int threads);
// out = exp(before - after) in the mask (0 or 1), else NaN.
void n4_ratio(const float* before, const float* after, const std::uint8_t* mask, float* out, std::int64_t count,
              int threads);
// ITK's measure of convergence: the coefficient of variation of the ratios that are not NaN. ITK keeps its running mean
// and sum of squares in float32, voxel after voxel: once a voxel's share is below half a unit in the last place, the
// mean stands still, and the measure is off by 10 to 20 %. The stop rule hangs on that, so the same sums are made here.
float n4_change(const float* ratio, std::int64_t count);
// Both at once, on two threads.
N4Ends n4_iterate_beside(const N4Level& level, N4Ends ends, double* lattice, float* field, float* rest,
                         const float* ratio, float* change);
// field = exp(spline of the lattice) on the whole grid, corrected = image / field.
void n4_finish(const double* lattice, const N4Grid& grid, const float* image, float* corrected, float* field,
               int threads);

}  // namespace fastimg::harmonize
