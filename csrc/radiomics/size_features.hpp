// The 17 features that runs, zones, distance zones and dependences share: a table of level, size and weight.
#pragma once

#include <cstdint>
#include <vector>

namespace fastimg::radiomics {

struct Entry {
  std::int64_t level, size;  // from 1
  double weight;             // how often, above 0
};

constexpr int kSizeFeatures = 17;

// IBSI reference manual 3.7 to 3.9 and 3.11, in its order: short, long, low, high, short-low, short-high, long-low,
// long-high emphasis, level and size non-uniformity each with its normalised form, percentage, level and size variance,
// entropy, energy. `voxels`: what the percentage divides by; 0: the sum of weight * size. `epsilon` is added inside
// logarithms. Entries stand in order of (level, size), each pair once; NaN without entries.
void size_features(const std::vector<Entry>& entries, double voxels, double epsilon, double* out);

// The cells above 0 of a (levels, sizes) matrix.
std::vector<Entry> sparse(const double* matrix, std::int64_t levels, std::int64_t sizes);

}  // namespace fastimg::radiomics
