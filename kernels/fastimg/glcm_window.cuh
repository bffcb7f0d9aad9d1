// What the pairs of one direction in a window give: IBSI reference manual 3.6, of a symmetric matrix that is not made.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

// Sums over the pairs (i, j); variances, shade and prominence around the means. Logarithms are those of the products of
// counts: of how many pairs share a cell (joint), i + j, |i - j|, and of how many ends share a level.
struct GlcmSums {
  double total, differences, squares, product, levels;
  double variance, covariance, sum_variance, shade, prominence, difference_variance;
  double inverse[5];
  double joint_logs, sum_logs, difference_logs, level_logs;
  double joint_squares, peak, level_pairs;  // of the matrix's cells; pairs of one level
};

// What a pair that is d apart adds to the inverse features of n levels.
FASTIMG_ATOM void inverse_terms(double d, double n, double* terms) {
  terms[0] = 1 / (1 + d);
  terms[1] = 1 / (1 + d / n);
  terms[2] = 1 / (1 + d * d);
  terms[3] = 1 / (1 + d * d / (n * n));
  terms[4] = d > 0 ? 1 / (d * d) : 0;
}

// Shannon's entropy in bits from the sum of c log2(c) over cells; rounding alone keeps it from 0.
FASTIMG_ATOM double entropy_from(double bits, double logs, double total) {
  const double left = bits - logs / total;
  return left > 1e-14 ? left : 0;
}

// The features in their order but the last one, the maximal correlation. bits: log2(total).
FASTIMG_ATOM void glcm_row(const GlcmSums& s, double bits, double* row) {
  const double total = s.total, all = 2 * total, all_bits = bits + 1;
  const double apart = s.differences / total, variance = s.variance / total, sum_variance = s.sum_variance / total;
  const double hxy = entropy_from(all_bits, 2 * (s.joint_logs + s.level_pairs), all);
  const double hx = entropy_from(all_bits, s.level_logs, all);
  const double information = 1 - exp(-2 * (hx + hx - hxy));
  row[0] = s.peak / all;
  row[1] = 0.5 * s.levels / total;
  row[2] = variance;
  row[3] = hxy;
  row[4] = apart;
  row[5] = s.difference_variance / total;
  row[6] = entropy_from(bits, s.difference_logs, total);
  row[7] = s.levels / total;
  row[8] = sum_variance;
  row[9] = entropy_from(bits, s.sum_logs, total);
  row[10] = s.joint_squares / (all * all);
  row[11] = s.squares / total;
  row[12] = apart;
  for (int f = 0; f < 5; ++f) row[13 + f] = s.inverse[f] / total;
  row[18] = variance == 0 ? 1 : s.covariance / total / variance;
  row[19] = s.product / total;
  row[20] = sum_variance;
  row[21] = s.shade / total;
  row[22] = s.prominence / total;
  row[23] = hx == 0 ? 0 : (hxy - hx - hx) / hx;
  row[24] = information > 0 ? sqrt(information) : 0;
}

FASTIMG_ATOM int lowest_bit(u64 word) {
#ifdef __CUDA_ARCH__
  return __ffsll((i64)word) - 1;
#else
  return __builtin_ctzll(word);
#endif
}

// Whether the graph of levels has several parts or two colours: each part of it adds an eigenvalue 1 to the normalised
// matrix, a two-coloured one also -1. beside: neighbours of each level, as bits; loops: levels beside themselves. One
// part with a loop is not two-coloured; without loops, a walk that reaches all by even and by odd numbers of steps
// tells.
FASTIMG_ATOM bool apart_or_even(const u64* beside, u64 loops, int kinds) {
  const u64 all = kinds == 64 ? ~(u64)0 : ((u64)1 << kinds) - 1;
  if (loops) {
    u64 seen = loops & (0 - loops), left = seen;
    while (left) {
      const u64 next = beside[lowest_bit(left)];
      left = (left & (left - 1)) | (next & ~seen);
      seen |= next;
    }
    return seen != all;
  }
  u64 even = 1, odd = 0, even_left = 1, odd_left = 0;
  while (even_left | odd_left) {
    if (even_left) {
      const u64 next = beside[lowest_bit(even_left)];
      even_left &= even_left - 1;
      odd_left |= next & ~odd;
      odd |= next;
    } else {
      const u64 next = beside[lowest_bit(odd_left)];
      odd_left &= odd_left - 1;
      even_left |= next & ~even;
      even |= next;
    }
  }
  return (even & odd) != all;
}

}  // namespace fastimg
