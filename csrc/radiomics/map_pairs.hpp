// GLCM features of many windows at once, a window in each lane of a vector: for symmetric matrices of one direction
// each, without weights, of at most 254 levels.
#pragma once

#include "cpu/pool.hpp"
#include "radiomics/map_correlations.hpp"
#include "radiomics/map_glcm.hpp"
#include "radiomics/maps.hpp"

namespace fastimg::radiomics {

constexpr int kWindows = 32;

// What the pairs of one direction give, for each window. Of each pair, its count is how many pairs (or, for levels, how
// many ends of pairs) are equal to it: a sum of c log c over what is distinct is a sum of log c over all.
struct PairSums {
  std::uint16_t low[kMostPairs][kWindows], high[kMostPairs][kWindows];
  std::uint16_t count[kMostPairs][kWindows], first[kMostPairs][kWindows];  // of equal pairs; all ones at the first one
  double total[kWindows], differences[kWindows], squares[kWindows], product[kWindows], levels[kWindows];
  // Around the means.
  double variance[kWindows], covariance[kWindows], sum_variance[kWindows], shade[kWindows], prominence[kWindows],
      difference_variance[kWindows];
  Inverse inverse[kWindows];
  // Products of the counts, and of the pairs' cells: their squares, the largest, those of one level.
  double joint_counts[kWindows], sum_counts[kWindows], difference_counts[kWindows], level_counts[kWindows];
  std::uint16_t joint_squares[kWindows], peak[kWindows], level_pairs[kWindows];
  // How many levels, cells of two levels and cells of one level are distinct.
  std::uint16_t kinds[kWindows], branches[kWindows], loops[kWindows];
};

struct PairTable {
  // level[cell][window]; `none`: the row of `inverse` for a pair that is not whole.
  void (*sums)(const std::uint16_t (*level)[kWindows], const std::int32_t* pairs, int count, const Inverse* inverse,
               std::uint16_t none, PairSums& sums);
  Correlations::Eigenvalues correlations;
};
FASTIMG_DECLARE_TABLE(PairTable, map_pairs_table)

bool pairs_fit(const Window& window, const MapSettings& settings);
void map_pairs(const Job& job);

}  // namespace fastimg::radiomics
