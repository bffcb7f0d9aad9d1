#include "radiomics/size_features.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace fastimg::radiomics {

std::vector<Entry> sparse(const double* matrix, std::int64_t levels, std::int64_t sizes) {
  std::vector<Entry> entries;
  for (std::int64_t l = 0; l < levels; ++l)
    for (std::int64_t s = 0; s < sizes; ++s)
      if (matrix[l * sizes + s] > 0) entries.push_back({l + 1, s + 1, matrix[l * sizes + s]});
  return entries;
}

void size_features(const std::vector<Entry>& entries, double voxels, double epsilon, double* out) {
  if (entries.empty()) {
    std::fill(out, out + kSizeFeatures, std::nan(""));
    return;
  }
  std::map<std::int64_t, double> of_size;
  std::vector<double> of_level(entries.back().level + 1);
  double total = 0, length = 0, emphasis[8] = {};
  for (const Entry& e : entries) {
    const double i = static_cast<double>(e.level), j = static_cast<double>(e.size), w = e.weight;
    const double ii = i * i, jj = j * j;
    total += w;
    length += w * j;
    of_level[e.level] += w;
    of_size[e.size] += w;
    const double add[8] = {w / jj, w * jj, w / ii, w * ii, w / (ii * jj), w * ii / jj, w * jj / ii, w * ii * jj};
    for (int f = 0; f < 8; ++f) emphasis[f] += add[f];
  }
  double level_squares = 0, size_squares = 0, level_mean = 0, size_mean = 0, level_var = 0, size_var = 0;
  for (std::size_t i = 0; i < of_level.size(); ++i) {
    level_squares += of_level[i] * of_level[i];
    level_mean += of_level[i] / total * static_cast<double>(i);
  }
  for (const auto& [size, weight] : of_size) {
    size_squares += weight * weight;
    size_mean += weight / total * static_cast<double>(size);
  }
  for (std::size_t i = 0; i < of_level.size(); ++i) {
    const double away = static_cast<double>(i) - level_mean;
    level_var += of_level[i] / total * away * away;
  }
  for (const auto& [size, weight] : of_size) {
    const double away = static_cast<double>(size) - size_mean;
    size_var += weight / total * away * away;
  }
  double entropy = 0, energy = 0;
  for (const Entry& e : entries) {
    const double p = e.weight / total;
    entropy -= p * std::log2(p + epsilon);
    energy += p * p;
  }
  for (int f = 0; f < 8; ++f) out[f] = emphasis[f] / total;
  const double rest[9] = {level_squares / total,
                          level_squares / (total * total),
                          size_squares / total,
                          size_squares / (total * total),
                          total / (voxels > 0 ? voxels : length),
                          level_var,
                          size_var,
                          entropy,
                          energy};
  std::copy(rest, rest + 9, out + 8);
}

}  // namespace fastimg::radiomics
