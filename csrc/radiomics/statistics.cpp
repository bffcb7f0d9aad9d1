#include "radiomics/statistics.hpp"

#include <algorithm>
#include <cmath>

namespace fastimg::radiomics {
namespace {

double at_rank(const std::vector<Counted>& histogram, double rank) {
  const auto whole = static_cast<std::int64_t>(std::floor(rank));
  const double part = rank - static_cast<double>(whole);
  std::int64_t before = 0;
  for (std::size_t i = 0; i < histogram.size(); ++i) {
    before += histogram[i].count;
    if (whole < before) {
      const double low = histogram[i].value;
      if (part == 0 || whole + 1 < before || i + 1 == histogram.size()) return low;
      return low + part * (histogram[i + 1].value - low);
    }
  }
  return histogram.back().value;
}

}  // namespace

std::vector<Counted> counted(const double* sorted, std::int64_t count) {
  std::vector<Counted> histogram;
  for (std::int64_t i = 0; i < count; ++i) {
    if (histogram.empty() || histogram.back().value != sorted[i]) histogram.push_back({sorted[i], 0});
    ++histogram.back().count;
  }
  return histogram;
}

void statistics(const std::vector<Counted>& h, double* out) {
  std::int64_t voxels = 0;
  double sum = 0, energy = 0;
  for (const Counted& bin : h) {
    voxels += bin.count;
    const double c = static_cast<double>(bin.count);
    sum += c * bin.value;
    energy += c * bin.value * bin.value;
  }
  const double n = static_cast<double>(voxels), mean = sum / n, last = n - 1;
  const double median = at_rank(h, 0.5 * last), p10 = at_rank(h, 0.1 * last), p25 = at_rank(h, 0.25 * last);
  const double p75 = at_rank(h, 0.75 * last), p90 = at_rank(h, 0.9 * last);

  double m2 = 0, m3 = 0, m4 = 0, mad = 0, medad = 0, inner = 0, inner_sum = 0;
  for (const Counted& bin : h) {
    const double c = static_cast<double>(bin.count), away = bin.value - mean, two = away * away;
    m2 += c * two;
    m3 += c * two * away;
    m4 += c * two * two;
    mad += c * std::fabs(away);
    medad += c * std::fabs(bin.value - median);
    if (bin.value >= p10 && bin.value <= p90) {
      inner += c;
      inner_sum += c * bin.value;
    }
  }
  double rmad = 0;
  for (const Counted& bin : h)
    if (bin.value >= p10 && bin.value <= p90)
      rmad += static_cast<double>(bin.count) * std::fabs(bin.value - inner_sum / inner);

  const double variance = h.size() > 1 ? m2 / n : 0;
  const double features[kStatistics] = {mean,
                                        variance,
                                        variance == 0 ? 0 : m3 / n / (variance * std::sqrt(variance)),
                                        variance == 0 ? 0 : m4 / n / (variance * variance) - 3,
                                        median,
                                        h.front().value,
                                        p10,
                                        p90,
                                        h.back().value,
                                        p75 - p25,
                                        h.back().value - h.front().value,
                                        mad / n,
                                        inner == 0 ? NAN : rmad / inner,
                                        medad / n,
                                        std::sqrt(variance) / mean,
                                        (p75 - p25) / (p75 + p25),
                                        energy,
                                        std::sqrt(energy / n)};
  std::copy(features, features + kStatistics, out);
}

}  // namespace fastimg::radiomics
