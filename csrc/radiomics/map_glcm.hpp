// GLCM features of a window, pair by pair: any settings. Without weights and with few levels, map_pairs.hpp takes many
// windows at once.
#pragma once

#include <cmath>

#include "fastimg/glcm_window.cuh"
#include "radiomics/glcm.hpp"
#include "radiomics/map_items.hpp"
#include "radiomics/maps.hpp"

namespace fastimg::radiomics {

// 1/(1 + d), 1/(1 + d/n), 1/(1 + d^2), 1/(1 + (d/n)^2), 1/d^2 for each difference d of n levels: what a pair adds to
// the inverse features. Rows of eight, one a cache line.
struct Inverse {
  double at[8];
};
inline std::vector<Inverse> inverses(std::int64_t levels) {
  std::vector<Inverse> found;
  const double n = static_cast<double>(levels);
  for (std::int64_t d = 0; d <= levels; ++d) {
    found.push_back({});
    inverse_terms(static_cast<double>(d), n, found.back().at);
  }
  return found;
}

// Tally: Counts, or Weights where items have weights or levels are very many.
template <class Tally>
class PairFeatures {
 public:
  PairFeatures(const Window& window, const MapSettings& settings)
      : window_(window),
        settings_(settings),
        shift_(key_shift(settings.levels)),
        joint_((settings.levels + 1) << shift_, most_items(window), logarithms_),
        first_(settings.levels + 1, 2 * most_items(window), logarithms_),
        second_(settings.levels + 1, most_items(window), logarithms_),
        sum_(2 * settings.levels + 2, most_items(window), logarithms_),
        correlation_(settings.levels),
        inverse_(inverses(settings.levels)) {
    pairs_.reserve(most_items(window));
  }

  void of(const std::uint16_t* level, double* out) {
    int matrices = 0;
    std::fill(out, out + 26, 0.0);
    const bool one = settings_.merged || settings_.pair_weights;
    pairs_.clear();
    for (std::int64_t k = 0; k < window_.offsets; ++k) {
      const double weight = settings_.pair_weights ? settings_.pair_weights[k] : 1;
      for (std::int32_t p = window_.pair_begins[k]; p < window_.pair_begins[k + 1]; ++p) {
        const std::int32_t i = level[window_.pairs[2 * p]], j = level[window_.pairs[2 * p + 1]];
        if (i && j) pairs_.push_back({i, j, weight});
      }
      if (one && k + 1 < window_.offsets) continue;
      if (pairs_.empty()) continue;
      double row[26];
      row_of(row);
      for (int f = 0; f < 26; ++f) out[f] += row[f];
      ++matrices;
      pairs_.clear();
    }
    for (int f = 0; f < 26; ++f) out[f] = matrices ? out[f] / matrices : std::nan("");
  }

 private:
  void row_of(double* out) {
    const bool symmetric = settings_.symmetric;
    double total = 0, differences = 0, squares = 0, product = 0, mean_x = 0, mean_y = 0;
    Inverse inverse{};
    for (const Pair& p : pairs_) {
      const double w = p.weight, i = p.i, j = p.j;
      const std::int32_t d = p.i < p.j ? p.j - p.i : p.i - p.j;
      const Inverse& of = inverse_[d];
      total += w;
      differences += w * d;
      squares += w * d * d;
      product += w * i * j;
      mean_x += w * i;
      mean_y += w * j;
      for (int f = 0; f < 5; ++f) inverse.at[f] += w * of.at[f];
    }
    if (symmetric) mean_x = mean_y = 0.5 * (mean_x + mean_y);
    mean_x /= total;
    mean_y /= total;
    const double apart = differences / total;
    double var_x = 0, var_y = 0, covariance = 0, sum_var = 0, shade = 0, prominence = 0, diff_var = 0, sums = 0;
    for (const Pair& p : pairs_) {
      const double w = p.weight, x = p.i - mean_x, y = p.j - mean_y, both = x + y, two = both * both;
      var_x += w * x * x;
      var_y += w * y * y;
      covariance += w * x * y;
      sums += w * (p.i + p.j);
      sum_var += w * two;
      shade += w * two * both;
      prominence += w * two * two;
      const double away = (p.i < p.j ? p.j - p.i : p.i - p.j) - apart;
      diff_var += w * away * away;
    }
    if (symmetric) var_x = var_y = 0.5 * (var_x + var_y);

    // What each cell of the matrix, of its margins and of its diagonals holds.
    Spread joint, x, y, difference, sum;
    double peak = 0;
    std::int64_t kinds = 0;
    for (const Pair& p : pairs_) {
      const bool swap = symmetric && p.i > p.j;
      joint_.add(static_cast<std::int64_t>(swap ? p.j : p.i) << shift_ | (swap ? p.i : p.j), p.weight);
      first_.add(p.i, p.weight);
      (symmetric ? first_ : second_).add(p.j, p.weight);
      sum_.add(p.i + p.j, p.weight);
    }
    correlation_.clear();
    joint_.drain([&](std::int64_t key, auto w) {
      const auto i = static_cast<std::int32_t>(key >> shift_);
      const auto j = static_cast<std::int32_t>(key & ((std::int64_t{1} << shift_) - 1));
      if (symmetric) {  // a pair counts twice: in both cells, or two times in the one on the diagonal
        if (i == j)
          w *= 2;
        else
          joint_.into(joint, w);
        correlation_.add(i, j, w);
      } else {
        directed_.push_back({i, j, static_cast<double>(w)});
      }
      joint_.into(joint, w);
      peak = std::max(peak, static_cast<double>(w));
    });
    first_.drain([&](std::int64_t, auto w) {
      first_.into(x, w);
      ++kinds;
    });
    if (!symmetric) second_.drain([&](std::int64_t, auto w) { second_.into(y, w); });
    sum_.drain([&](std::int64_t, auto w) { sum_.into(sum, w); });
    for (const Pair& p : pairs_) first_.add(p.i < p.j ? p.j - p.i : p.i - p.j, p.weight);
    first_.drain([&](std::int64_t, auto w) { first_.into(difference, w); });

    const double all = symmetric ? 2 * total : total;
    const double bits = std::log2(total), all_bits = symmetric ? bits + 1 : bits;
    const double hxy = joint.entropy(all, all_bits), hx = x.entropy(all, all_bits);
    const double hy = symmetric ? hx : y.entropy(all, all_bits);
    const double most = std::max(hx, hy), information = 1 - std::exp(-2 * (hx + hy - hxy));
    const double sigma = std::sqrt(var_x / total) * std::sqrt(var_y / total);
    const double row[26] = {peak / all,
                            mean_x,
                            var_x / total,
                            hxy,
                            apart,
                            diff_var / total,
                            difference.entropy(total, bits),
                            sums / total,
                            sum_var / total,
                            sum.entropy(total, bits),
                            joint.squares / (all * all),
                            squares / total,
                            apart,
                            inverse.at[0] / total,
                            inverse.at[1] / total,
                            inverse.at[2] / total,
                            inverse.at[3] / total,
                            inverse.at[4] / total,
                            sigma == 0 ? 1 : covariance / total / sigma,
                            product / total,
                            sum_var / total,
                            shade / total,
                            prominence / total,
                            most == 0 ? 0 : (hxy - hx - hy) / most,
                            information > 0 ? std::sqrt(information) : 0,
                            symmetric ? correlation_.value(kinds, settings_.flat_correlation) : directed_correlation()};
    std::copy(row, row + 26, out);
  }

  // Singular values of a matrix that is not symmetric are eigenvalues of one of twice the size, [0 A; A' 0], whose
  // levels are rows and columns; each occurs with both signs, so the second largest singular value is asked for.
  double directed_correlation() {
    rows_.clear();
    for (const Pair& p : directed_) {
      rows_.push_back(p.i);
      rows_.push_back(p.j);
    }
    std::sort(rows_.begin(), rows_.end());
    rows_.erase(std::unique(rows_.begin(), rows_.end()), rows_.end());
    const auto n = static_cast<std::int64_t>(rows_.size());
    double result = settings_.flat_correlation;
    if (n > 1) {
      const auto place = [&](std::int32_t level) {
        return std::lower_bound(rows_.begin(), rows_.end(), level) - rows_.begin();
      };
      // Q = B B' with B(i, j) = p(i, j) / sqrt(px(i) py(j)); as a matrix of weights its margins are px.
      std::vector<double> p(n * n), px(n), py(n), product(n * n);
      for (const Pair& e : directed_) {
        p[place(e.i) * n + place(e.j)] += e.weight;
        px[place(e.i)] += e.weight;
        py[place(e.j)] += e.weight;
      }
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j < n; ++j)
          for (std::int64_t k = 0; k < n; ++k)
            if (py[k] > 0) product[i * n + j] += p[i * n + k] * p[j * n + k] / py[k];
      std::int64_t rows = 0;
      for (const double w : px) rows += w > 0;
      result = rows < 2 ? 0 : std::sqrt(std::max(0.0, maximal_correlation(product.data(), n)));
    }
    directed_.clear();
    return result;
  }

  struct Pair {
    std::int32_t i, j;
    double weight;
  };

  const Window& window_;
  const MapSettings& settings_;
  Logarithms logarithms_;
  int shift_;
  Tally joint_, first_, second_, sum_;
  Correlation correlation_;
  std::vector<Inverse> inverse_;
  std::vector<Pair> pairs_, directed_;
  std::vector<std::int32_t> rows_;
};

}  // namespace fastimg::radiomics
