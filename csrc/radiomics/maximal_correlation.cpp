#include <algorithm>
#include <cmath>
#include <vector>

#include "radiomics/glcm.hpp"

namespace fastimg::radiomics {
// Only the eigenvalues are wanted. Sums run
// over columns, so that the inner loops add rows to rows.
void tridiagonal(std::vector<double>& a, std::int64_t n, std::vector<double>& diagonal, std::vector<double>& beside) {
  std::vector<double> v(n), p(n);
  for (std::int64_t k = 0; k + 2 < n; ++k) {
    double norm = 0;
    for (std::int64_t i = k + 1; i < n; ++i) norm += a[k * n + i] * a[k * n + i];
    norm = std::sqrt(norm);
    const double head = a[k * n + k + 1];
    beside[k] = head > 0 ? -norm : norm;
    const double scale = norm * norm + std::fabs(head) * norm;  // half of v . v
    if (scale == 0) continue;
    for (std::int64_t i = k + 1; i < n; ++i) v[i] = a[k * n + i];
    v[k + 1] -= beside[k];
    std::fill(p.begin(), p.end(), 0.0);
    for (std::int64_t j = k + 1; j < n; ++j) {
      const double factor = v[j] / scale, *row = a.data() + j * n;
      for (std::int64_t i = k + 1; i < n; ++i) p[i] += factor * row[i];
    }
    double along = 0;
    for (std::int64_t i = k + 1; i < n; ++i) along += p[i] * v[i];
    for (std::int64_t i = k + 1; i < n; ++i) p[i] -= 0.5 * along / scale * v[i];
    for (std::int64_t j = k + 1; j < n; ++j) {
      const double vj = v[j], pj = p[j];
      double* row = a.data() + j * n;
      for (std::int64_t i = k + 1; i < n; ++i) row[i] -= vj * p[i] + pj * v[i];
    }
  }
  for (std::int64_t i = 0; i < n; ++i) diagonal[i] = a[i * n + i];
  if (n > 1) beside[n - 2] = a[(n - 2) * n + n - 1];
}

namespace {

// How many eigenvalues lie below x (Sturm's sequence).
std::int64_t below(const std::vector<double>& diagonal, const std::vector<double>& beside, double x) {
  std::int64_t count = 0;
  double q = 1;
  for (std::size_t i = 0; i < diagonal.size(); ++i) {
    const double square = i ? beside[i - 1] * beside[i - 1] : 0;
    q = diagonal[i] - x - (i ? square / q : 0);
    if (q == 0) q = -1e-300;
    count += q < 0;
  }
  return count;
}

}  // namespace

double maximal_correlation(const double* matrix, std::int64_t levels) {
  std::vector<std::int64_t> present;
  std::vector<double> root;
  double total = 0;
  for (std::int64_t i = 0; i < levels; ++i) {
    double sum = 0;
    for (std::int64_t j = 0; j < levels; ++j) sum += matrix[i * levels + j];
    total += sum;
    if (sum > 0) {
      present.push_back(i);
      root.push_back(sum);
    }
  }
  const auto n = static_cast<std::int64_t>(present.size());
  if (n < 2) return 1;
  for (double& value : root) value = std::sqrt(value / total);
  // The largest eigenvalue is 1, of the vector root: taken away, the second becomes the first.
  std::vector<double> a(n * n), diagonal(n), beside(n);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      a[i * n + j] = matrix[present[i] * levels + present[j]] / total / (root[i] * root[j]) - root[i] * root[j];
  tridiagonal(a, n, diagonal, beside);
  double ends[2];
  for (int which = 0; which < 2; ++which) {
    double low = -2, high = 2;  // every eigenvalue lies in [-1, 1]
    for (int step = 0; step < 60; ++step) {
      const double middle = 0.5 * (low + high);
      (below(diagonal, beside, middle) >= (which ? n : 1) ? high : low) = middle;
    }
    ends[which] = std::fabs(0.5 * (low + high));
  }
  return std::max(ends[0], ends[1]);
}

}  // namespace fastimg::radiomics
