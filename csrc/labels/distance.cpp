#include "labels/distance.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "cpu/aligned.hpp"
#include "cpu/pool.hpp"

namespace fastimg::labels {
namespace {

constexpr double kFar = std::numeric_limits<double>::infinity();
constexpr std::int64_t kTile = 16;  // lines gathered together: a cache line of each row

// In steps along the row, times `step`; squared unless taxicab.
void first_axis(const unsigned char* mask, double* out, std::int64_t n, double step, bool taxicab) {
  std::int64_t last = -1;
  for (std::int64_t i = 0; i < n; ++i) {
    if (!mask[i]) last = i;
    out[i] = last < 0 ? kFar : static_cast<double>(i - last) * step;
  }
  last = -1;
  for (std::int64_t i = n - 1; i >= 0; --i) {
    if (!mask[i]) last = i;
    const double ahead = last < 0 ? kFar : static_cast<double>(last - i) * step;
    const double d = ahead < out[i] ? ahead : out[i];
    out[i] = taxicab ? d : d * d;
  }
}

void taxicab_line(double* f, std::int64_t n, double step) {
  for (std::int64_t i = 1; i < n; ++i) f[i] = std::min(f[i], f[i - 1] + step);
  for (std::int64_t i = n - 2; i >= 0; --i) f[i] = std::min(f[i], f[i + 1] + step);
}

// d(p) = min over q of f(q) + (step (p - q))^2: the parabolas' lower envelope, then one walk along it.
class Envelope {
 public:
  explicit Envelope(std::int64_t n) : value_(n), from_(n), start_(n + 1) {}

  void run(double* f, std::int64_t n, double step) {
    const double area = step * step;
    std::int64_t top = -1;
    for (std::int64_t q = 0; q < n; ++q) {
      if (f[q] == kFar) continue;
      double start = -kFar;
      while (top >= 0) {
        const double p = static_cast<double>(from_[top]), here = static_cast<double>(q);
        start = ((f[q] - value_[top]) / area + (here * here - p * p)) / (2 * (here - p));
        if (start > start_[top]) break;
        --top;
        start = -kFar;
      }
      ++top;
      from_[top] = q;
      value_[top] = f[q];
      start_[top] = start;
    }
    if (top < 0) return;
    std::int64_t at = 0;
    for (std::int64_t p = 0; p < n; ++p) {
      while (at < top && start_[at + 1] <= static_cast<double>(p)) ++at;
      const double steps = static_cast<double>(p - from_[at]);
      f[p] = value_[at] + area * steps * steps;
    }
  }

 private:
  std::vector<double> value_;
  std::vector<std::int64_t> from_;
  std::vector<double> start_;
};

// Lines of n values `stride` apart, kTile of them side by side.
void other_axis(double* values, std::int64_t n, std::int64_t stride, std::int64_t count, double step, bool taxicab,
                double* lines, Envelope& envelope) {
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t c = 0; c < count; ++c) lines[c * n + i] = values[i * stride + c];
  for (std::int64_t c = 0; c < count; ++c)
    taxicab ? taxicab_line(lines + c * n, n, step) : envelope.run(lines + c * n, n, step);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t c = 0; c < count; ++c) values[i * stride + c] = lines[c * n + i];
}

}  // namespace

void distance(const unsigned char* mask, float* out, std::int64_t z, std::int64_t y, std::int64_t x,
              const double* spacing, bool taxicab, int threads) {
  const std::int64_t plane = y * x;
  const auto memory = cpu::aligned<double>(z * plane);
  double* const values = memory.get();
  cpu::parallel_for(z, 1, threads, [&](std::int64_t begin, std::int64_t end) {
    Envelope envelope(y);
    const auto lines = cpu::aligned<double>(y * kTile);
    for (std::int64_t k = begin; k < end; ++k) {
      for (std::int64_t row = k * y; row < (k + 1) * y; ++row)
        first_axis(mask + row * x, values + row * x, x, spacing[2], taxicab);
      for (std::int64_t i = 0; i < x; i += kTile)
        other_axis(values + k * plane + i, y, x, std::min(kTile, x - i), spacing[1], taxicab, lines.get(), envelope);
    }
  });
  cpu::parallel_for(y, 1, threads, [&](std::int64_t begin, std::int64_t end) {
    Envelope envelope(z);
    const auto lines = cpu::aligned<double>(z * kTile);
    for (std::int64_t j = begin; j < end; ++j) {
      for (std::int64_t i = 0; i < x; i += kTile)
        other_axis(values + j * x + i, z, plane, std::min(kTile, x - i), spacing[0], taxicab, lines.get(), envelope);
      for (std::int64_t k = 0; k < z; ++k) {
        const std::int64_t row = k * plane + j * x;
        for (std::int64_t i = row; i < row + x; ++i)
          out[i] = static_cast<float>(taxicab ? values[i] : std::sqrt(values[i]));
      }
    }
  });
}

}  // namespace fastimg::labels
