#include <cmath>

#include "fastimg/eigen.cuh"
#include "radiomics/glcm.hpp"
#include "radiomics/map_items.hpp"

namespace fastimg::radiomics {
double Correlation::value(std::int64_t kinds, double flat) {
  if (kinds < 2) return flat;
  std::int64_t branches = 0, loops = 0;
  for (const Edge& e : edges_) ++(e.i == e.j ? loops : branches);
  if (tree(kinds, branches, loops)) return 1;
  level_.clear();
  for (Edge& e : edges_)
    for (std::int32_t* of : {&e.i, &e.j}) {
      std::int32_t& id = node_[*of];
      if (id < 0) {
        id = static_cast<std::int32_t>(level_.size());
        level_.push_back(*of);
      }
      *of = id;
    }
  for (const std::int32_t level : level_) node_[level] = -1;
  return apart_or_even(kinds) ? 1 : eigenvalue(kinds);
}

bool Correlation::apart_or_even(std::int64_t kinds) {
  parent_.resize(kinds);
  colour_.assign(kinds, 0);
  for (std::int64_t i = 0; i < kinds; ++i) parent_[i] = static_cast<std::int32_t>(i);
  std::int64_t parts = kinds;
  bool odd = false;
  const auto root = [&](std::int32_t id, std::uint8_t& colour) {
    colour = 0;
    for (; parent_[id] != id; id = parent_[id]) colour ^= colour_[id];
    return id;
  };
  for (const Edge& e : edges_) {
    std::uint8_t of_i, of_j;
    const std::int32_t a = root(e.i, of_i), b = root(e.j, of_j);
    if (a == b) {
      odd |= of_i == of_j;
    } else {
      parent_[b] = a;
      colour_[b] = of_i ^ of_j ^ 1;
      --parts;
    }
  }
  return parts > 1 || !odd;
}

double Correlation::eigenvalue(std::int64_t n) {
  margin_.assign(n, 0.0);
  double total = 0;
  for (const Edge& e : edges_) {
    margin_[e.i] += e.weight;
    if (e.i != e.j) margin_[e.j] += e.weight;
    total += e.i == e.j ? e.weight : 2 * e.weight;
  }
  matrix_.resize(n * n);
  for (double& m : margin_) m = std::sqrt(m / total);
  // The largest eigenvalue is 1, of the vector of roots: taken away, the second becomes the first.
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) matrix_[i * n + j] = -margin_[i] * margin_[j];
  for (const Edge& e : edges_) {
    const double cell = e.weight / total / (margin_[e.i] * margin_[e.j]);
    matrix_[e.i * n + e.j] += cell;
    if (e.i != e.j) matrix_[e.j * n + e.i] += cell;
  }
  if (n == 2) return std::fabs(matrix_[0] + matrix_[3]);
  diagonal_.resize(n);
  beside_.resize(n - 1);
  tridiagonal(matrix_, n, diagonal_, beside_);
  for (double& b : beside_) b *= b;
  double most;
  largest_absolute<One>(diagonal_.data(), beside_.data(), static_cast<int>(n), most);
  return most;
}

}  // namespace fastimg::radiomics
