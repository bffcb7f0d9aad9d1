#include <algorithm>
#include <cmath>
#include <vector>

#include "radiomics/glcm.hpp"

namespace fastimg::radiomics {
namespace {

double entropy(const std::vector<double>& p, double epsilon) {
  double sum = 0;
  for (double value : p)
    if (value > 0) sum -= value * std::log2(value + epsilon);
  return sum;
}

}  // namespace

void glcm_features(const double* matrix, std::int64_t levels, double epsilon, double* out) {
  const std::int64_t n = levels;
  double total = 0;
  for (std::int64_t cell = 0; cell < n * n; ++cell) total += matrix[cell];

  std::vector<double> px(n), py(n), diff(n), sum(2 * n - 1);
  double peak = 0, squares = 0, hxy = 0, product = 0;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      const double p = matrix[i * n + j] / total;
      if (p == 0) continue;
      px[i] += p;
      py[j] += p;
      diff[std::abs(i - j)] += p;
      sum[i + j] += p;
      peak = std::max(peak, p);
      squares += p * p;
      hxy -= p * std::log2(p + epsilon);
      product += p * static_cast<double>((i + 1) * (j + 1));
    }

  double mean_x = 0, mean_y = 0, var_x = 0, var_y = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    mean_x += px[i] * static_cast<double>(i + 1);
    mean_y += py[i] * static_cast<double>(i + 1);
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const double dx = static_cast<double>(i + 1) - mean_x, dy = static_cast<double>(i + 1) - mean_y;
    var_x += px[i] * dx * dx;
    var_y += py[i] * dy * dy;
  }

  double diff_mean = 0, contrast = 0, inverse = 0, inverse_norm = 0, moment = 0, moment_norm = 0, inverse_var = 0;
  const double ng = static_cast<double>(n);
  for (std::int64_t d = 0; d < n; ++d) {
    const double p = diff[d], k = static_cast<double>(d);
    diff_mean += k * p;
    contrast += k * k * p;
    inverse += p / (1 + k);
    inverse_norm += p / (1 + k / ng);
    moment += p / (1 + k * k);
    moment_norm += p / (1 + k * k / (ng * ng));
    if (d > 0) inverse_var += p / (k * k);
  }
  double diff_var = 0;
  for (std::int64_t d = 0; d < n; ++d) {
    const double away = static_cast<double>(d) - diff_mean;
    diff_var += diff[d] * away * away;
  }

  double sum_mean = 0, sum_var = 0, shade = 0, prominence = 0;
  for (std::int64_t s = 0; s < 2 * n - 1; ++s) sum_mean += static_cast<double>(s + 2) * sum[s];
  for (std::int64_t s = 0; s < 2 * n - 1; ++s) {
    const double away = static_cast<double>(s + 2) - mean_x - mean_y, two = away * away;
    sum_var += sum[s] * two;
    shade += sum[s] * two * away;
    prominence += sum[s] * two * two;
  }

  // log2(q + epsilon) of q = px py: the sum of two logarithms and what epsilon adds, of which the next term is below
  // 1e-17.
  constexpr double kLn2 = 0.69314718055994530942;
  std::vector<double> log_x(n), log_y(n);
  for (std::int64_t i = 0; i < n; ++i) {
    log_x[i] = px[i] > 0 ? std::log2(px[i]) : 0;
    log_y[i] = py[i] > 0 ? std::log2(py[i]) : 0;
  }
  double hxy1 = 0, hxy2 = 0, covariance = 0;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      const double q = px[i] * py[j];
      if (q == 0) continue;
      const double logarithm = epsilon == 0 ? log_x[i] + log_y[j]
                               : q > 1e-7   ? log_x[i] + log_y[j] + epsilon / (q * kLn2)
                                            : std::log2(q + epsilon);
      const double p = matrix[i * n + j] / total;
      hxy1 -= p * logarithm;
      hxy2 -= q * logarithm;
      covariance += p * (static_cast<double>(i + 1) - mean_x) * (static_cast<double>(j + 1) - mean_y);
    }
  const double hx = std::max(entropy(px, epsilon), entropy(py, epsilon));
  const double sigma = std::sqrt(var_x) * std::sqrt(var_y);
  const double information = 1 - std::exp(-2 * (hxy2 - hxy));

  const double features[kGlcmFeatures] = {peak,
                                          mean_x,
                                          var_x,
                                          hxy,
                                          diff_mean,
                                          diff_var,
                                          entropy(diff, epsilon),
                                          sum_mean,
                                          sum_var,
                                          entropy(sum, epsilon),
                                          squares,
                                          contrast,
                                          diff_mean,
                                          inverse,
                                          inverse_norm,
                                          moment,
                                          moment_norm,
                                          inverse_var,
                                          sigma == 0 ? 1 : covariance / (sigma + epsilon),
                                          product,
                                          sum_var,
                                          shade,
                                          prominence,
                                          hx == 0 ? 0 : (hxy - hxy1) / hx,
                                          information > 0 ? std::sqrt(information) : 0};
  std::copy(features, features + kGlcmFeatures, out);
}

}  // namespace fastimg::radiomics
