// GLCM features of a window around each voxel, one thread a window, the directions in turn: symmetric matrices of one
// direction each, without weights (csrc/radiomics/map_pairs.hpp is the CPU's). Matrices are not made: cells are counted
// by comparing each pair with the others.
#include "fastimg/eigen.cuh"
#include "fastimg/glcm_window.cuh"

namespace {

using fastimg::i32;
using fastimg::i64;
using fastimg::u16;
using fastimg::u64;

constexpr int kMost = 20;  // pairs of one direction, and levels of a matrix that needs eigenvalues
constexpr int kFeatures = 26;

__device__ i64 first() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ i64 step() { return (i64)gridDim.x * blockDim.x; }

struct Pairs {
  int count, low[kMost], high[kMost];
  int same[kMost];    // pairs of its cell
  bool opens[kMost];  // the first one of its cell
};

// Counts of what repeats, as products whose logarithms are taken once.
__device__ void count_repeats(Pairs& p, const int* i, const int* j, fastimg::GlcmSums& s) {
  double joint = 1, sums = 1, differences = 1, levels = 1;
  s.joint_squares = s.peak = s.level_pairs = 0;
  for (int a = 0; a < p.count; ++a) {
    int same = 0, sum = 0, difference = 0, of_i = 0, before = 0;
    for (int b = 0; b < p.count; ++b) {
      const bool equal = (p.low[a] == p.low[b]) & (p.high[a] == p.high[b]);
      same += equal;
      before += equal & (b < a);
      sum += i[a] + j[a] == i[b] + j[b];
      difference += p.high[a] - p.low[a] == p.high[b] - p.low[b];
      of_i += (i[a] == i[b]) + (i[a] == j[b]);
    }
    p.same[a] = same;
    p.opens[a] = before == 0;
    joint *= same;
    sums *= sum;
    differences *= difference;
    levels *= of_i;
    const int cell = p.low[a] == p.high[a] ? 2 * same : same;
    s.joint_squares += 2 * cell;
    s.peak = cell > s.peak ? cell : s.peak;
    s.level_pairs += p.low[a] == p.high[a];
  }
  for (int a = 0; a < p.count; ++a) {
    int of_j = 0;
    for (int b = 0; b < p.count; ++b) of_j += (j[a] == i[b]) + (j[a] == j[b]);
    levels *= of_j;
  }
  s.joint_logs = log2(joint);
  s.sum_logs = log2(sums);
  s.difference_logs = log2(differences);
  s.level_logs = log2(levels);
}

__device__ void sum_up(const Pairs& p, const int* i, const int* j, const double* inverse, fastimg::GlcmSums& s) {
  s.total = p.count;
  s.differences = s.squares = s.product = s.levels = 0;
  for (int f = 0; f < 5; ++f) s.inverse[f] = 0;
  for (int a = 0; a < p.count; ++a) {
    const double d = p.high[a] - p.low[a];
    s.differences += d;
    s.squares += d * d;
    s.product += (double)i[a] * j[a];
    s.levels += i[a] + j[a];
    for (int f = 0; f < 5; ++f) s.inverse[f] += inverse[5 * (p.high[a] - p.low[a]) + f];
  }
  const double mean = 0.5 * s.levels / s.total, apart = s.differences / s.total;
  s.variance = s.covariance = s.sum_variance = s.shade = s.prominence = s.difference_variance = 0;
  for (int a = 0; a < p.count; ++a) {
    const double x = i[a] - mean, y = j[a] - mean, both = x + y, two = both * both;
    const double away = p.high[a] - p.low[a] - apart;
    s.variance += x * x + y * y;
    s.covariance += x * y;
    s.sum_variance += two;
    s.shade += two * both;
    s.prominence += two * two;
    s.difference_variance += away * away;
  }
  s.variance *= 0.5;
}

__device__ double correlation(const Pairs& p, double flat) {
  int level[2 * kMost], kinds = 0, branches = 0, cells = 0;
  unsigned char of_low[kMost], of_high[kMost];
  for (int a = 0; a < p.count; ++a) {
    if (!p.opens[a]) continue;
    for (int end = 0; end < 2; ++end) {
      const int sought = end ? p.high[a] : p.low[a];
      int at = 0;
      while (at < kinds && level[at] != sought) ++at;
      if (at == kinds) level[kinds++] = sought;
      (end ? of_high : of_low)[a] = (unsigned char)at;
    }
    branches += p.low[a] != p.high[a];
    ++cells;
  }
  if (kinds < 2) return flat;
  // A tree has two colours, and fewer branches leave several parts.
  if (branches < kinds - 1 || (branches == kinds - 1 && cells == branches)) return 1;
  u64 beside[kMost] = {}, loops = 0;
  double margin[kMost] = {};
  for (int a = 0; a < p.count; ++a) {
    if (!p.opens[a]) continue;
    const int i = of_low[a], j = of_high[a];
    beside[i] |= (u64)1 << j;
    beside[j] |= (u64)1 << i;
    if (i == j) loops |= (u64)1 << i;
    margin[i] += i == j ? 2 * p.same[a] : p.same[a];
    if (i != j) margin[j] += p.same[a];
  }
  if (fastimg::apart_or_even(beside, loops, kinds)) return 1;
  double a[kMost * (kMost + 1) / 2], root[kMost], diagonal[kMost], square[kMost], v[kMost], w[kMost];
  const double scale = 1 / (2.0 * p.count);
  for (int i = 0; i < kinds; ++i) {
    root[i] = sqrt(margin[i] * scale);
    // The largest eigenvalue is 1, of the vector of roots: taken away, the second becomes the first.
    for (int j = 0; j <= i; ++j) a[fastimg::lower_row(i) + j] = -root[i] * root[j];
  }
  for (int e = 0; e < p.count; ++e) {
    if (!p.opens[e]) continue;
    const int i = of_low[e] > of_high[e] ? of_low[e] : of_high[e], j = of_low[e] + of_high[e] - i;
    const double weight = i == j ? 2 * p.same[e] : p.same[e];
    a[fastimg::lower_row(i) + j] += weight * scale * (1 / root[i]) * (1 / root[j]);
  }
  double most;
  fastimg::tridiagonal_squares<fastimg::One>(a, kinds, diagonal, square, v, w);
  fastimg::largest_absolute<fastimg::One>(diagonal, square, kinds, most);
  return most;
}

}  // namespace

// (levels + 1, 5): what a difference adds to the inverse features.
extern "C" __global__ void inverse_table(i64 levels, double* table) {
  for (i64 d = first(); d <= levels; d += step()) fastimg::inverse_terms((double)d, (double)levels, table + 5 * d);
}

// Feature f of the window around centres[c] (a place in the padded box `levels`) goes to out[slots[f] * size +
// targets[c]], where slots[f] >= 0. places: of the window's cells; pairs of direction k: pairs[2 * begins[k]] and on.
extern "C" __global__ void glcm_maps(const u16* levels, const i64* places, const i32* pairs, const i32* begins,
                                     i64 offsets, const i64* centres, const i64* targets, i64 count, const i32* slots,
                                     const double* inverse, double flat, double* out, i64 size) {
  for (i64 c = first(); c < count; c += step()) {
    double mean[kFeatures] = {};
    int matrices = 0;
    const u16* centre = levels + centres[c];
    for (i64 k = 0; k < offsets; ++k) {
      Pairs p;
      int i[kMost], j[kMost];
      p.count = 0;
      for (i32 q = begins[k]; q < begins[k + 1]; ++q) {
        const int one = centre[places[pairs[2 * q]]], other = centre[places[pairs[2 * q + 1]]];
        if (!one || !other) continue;
        i[p.count] = one;
        j[p.count] = other;
        p.low[p.count] = one < other ? one : other;
        p.high[p.count++] = one < other ? other : one;
      }
      if (!p.count) continue;
      fastimg::GlcmSums sums;
      double row[kFeatures];
      count_repeats(p, i, j, sums);
      sum_up(p, i, j, inverse, sums);
      fastimg::glcm_row(sums, log2(sums.total), row);
      row[25] = slots[25] < 0 ? 0 : correlation(p, flat);
      for (int f = 0; f < kFeatures; ++f) mean[f] += row[f];
      ++matrices;
    }
    for (int f = 0; f < kFeatures; ++f)
      if (slots[f] >= 0) out[slots[f] * size + targets[c]] = mean[f] / matrices;
  }
}
