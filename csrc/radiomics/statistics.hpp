// First-order features of a sorted histogram: distinct values and how often each occurs.
#pragma once

#include <cstdint>
#include <vector>

namespace fastimg::radiomics {

struct Counted {
  double value;
  std::int64_t count;
};

// Of `count` finite values in order: each once.
std::vector<Counted> counted(const double* sorted, std::int64_t count);

constexpr int kStatistics = 18;

// IBSI reference manual 3.3, in its order: mean, var, skew, kurt (excess), median, min, p10, p90, max, iqr, range, mad,
// rmad, medad, cov, qcod, energy, rms. Percentiles interpolate between ranks. Skewness and kurtosis of a constant are
// 0. Sums run over the histogram in order of value. The histogram holds at least one value.
void statistics(const std::vector<Counted>& histogram, double* out);

}  // namespace fastimg::radiomics
