// Fuzzy c-means of weighted points on a line (Bezdek, 1981).
#pragma once

#include <cstdint>

namespace fastimg::harmonize {

// A point's membership in class k is |value - centers[k]|^(-2 / (m - 1)), no distance below `tiny`, over the sum of
// these; weight[k] and moment[k] are the sums of number x membership^m, and of that x value. The same bits on any
// number of threads.
void fuzzy_sums(const double* values, const double* number, std::int64_t count, const double* centers, int classes,
                double tiny, double m, double* weight, double* moment, int threads);

}  // namespace fastimg::harmonize
