#include "harmonize/fuzzy.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu/pool.hpp"

namespace fastimg::harmonize {
namespace {

constexpr std::int64_t kGrain = 4096, kBlock = 256;
constexpr int kLanes = 4;  // of each sum, so that none waits for the one before

struct Classes {
  const double* centers;
  int count;
  double tiny, m;
};

// sums: of the weights and of the moments of each class.
void add_block(const double* values, const double* number, int n, const Classes& classes, double* close, double* sums) {
  const bool squares = classes.m == 2.0;  // the usual: products instead of powers
  const double power = -2.0 / (classes.m - 1.0);
  double total[kBlock] = {};
  for (int k = 0; k < classes.count; ++k) {
    double* const own = close + k * kBlock;
    for (int i = 0; i < n; ++i) {
      const double apart = std::fabs(values[i] - classes.centers[k]);
      own[i] = apart > classes.tiny ? apart : classes.tiny;
    }
    if (squares)
      for (int i = 0; i < n; ++i) own[i] = 1.0 / (own[i] * own[i]);
    else
      for (int i = 0; i < n; ++i) own[i] = std::pow(own[i], power);
    for (int i = 0; i < n; ++i) total[i] += own[i];
  }
  for (int k = 0; k < classes.count; ++k) {
    double* const own = close + k * kBlock;
    for (int i = 0; i < n; ++i) own[i] /= total[i];
    if (squares)
      for (int i = 0; i < n; ++i) own[i] *= own[i];
    else
      for (int i = 0; i < n; ++i) own[i] = std::pow(own[i], classes.m);
    double weight[kLanes] = {}, moment[kLanes] = {};
    for (int i = 0; i < n; ++i) {
      const double share = number[i] * own[i];
      weight[i % kLanes] += share;
      moment[i % kLanes] += share * values[i];
    }
    for (int l = 0; l < kLanes; ++l) {
      sums[k] += weight[l];
      sums[classes.count + k] += moment[l];
    }
  }
}

}  // namespace

void fuzzy_sums(const double* values, const double* number, std::int64_t count, const double* centers, int classes,
                double tiny, double m, double* weight, double* moment, int threads) {
  const std::size_t own = 2 * static_cast<std::size_t>(classes);
  std::vector<double> parts(static_cast<std::size_t>((count + kGrain - 1) / kGrain) * own, 0.0);
  cpu::parallel_for(count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> close(static_cast<std::size_t>(classes * kBlock));
    double* const sums = parts.data() + static_cast<std::size_t>(begin / kGrain) * own;
    for (std::int64_t at = begin; at < end; at += kBlock)
      add_block(values + at, number + at, static_cast<int>(std::min(kBlock, end - at)), {centers, classes, tiny, m},
                close.data(), sums);
  });
  std::fill(weight, weight + classes, 0.0);
  std::fill(moment, moment + classes, 0.0);
  for (std::size_t part = 0; part < parts.size(); part += own)
    for (int k = 0; k < classes; ++k) {
      weight[k] += parts[part + static_cast<std::size_t>(k)];
      moment[k] += parts[part + static_cast<std::size_t>(classes + k)];
    }
}

}  // namespace fastimg::harmonize
