#include "dicom/polygon.hpp"

#include <algorithm>
#include <cmath>

#include "cpu/pool.hpp"

namespace fastimg::dicom {
namespace {

struct Span {
  std::int64_t low, high;
};

void toggle(const double* lower, const double* upper, std::int64_t rows, std::int64_t columns, std::uint8_t* plane,
            Span& touched) {
  const double last = static_cast<double>(rows);
  const auto begin = static_cast<std::int64_t>(std::ceil(std::clamp(lower[0], 0.0, last)));
  const auto end = static_cast<std::int64_t>(std::ceil(std::clamp(upper[0], 0.0, last)));
  if (begin >= end) return;
  touched.low = std::min(touched.low, begin);
  touched.high = std::max(touched.high, end);
  const double height = upper[0] - lower[0], shift = upper[1] - lower[1];
  for (std::int64_t row = begin; row < end; ++row) {
    const double at = std::ceil(lower[1] + (static_cast<double>(row) - lower[0]) / height * shift);
    if (at < static_cast<double>(columns)) plane[row * columns + (at > 0 ? static_cast<std::int64_t>(at) : 0)] ^= 1;
  }
}

void fill_plane(const double* points, const std::int64_t* starts, std::int64_t first, std::int64_t last,
                std::int64_t rows, std::int64_t columns, std::uint8_t* plane) {
  Span touched{rows, 0};
  for (std::int64_t contour = first; contour < last; ++contour) {
    const std::int64_t begin = starts[contour], end = starts[contour + 1];
    for (std::int64_t point = begin; point < end; ++point) {
      const double* a = points + 2 * point;
      const double* b = points + 2 * (point + 1 < end ? point + 1 : begin);
      if (a[0] < b[0]) toggle(a, b, rows, columns, plane, touched);
      if (b[0] < a[0]) toggle(b, a, rows, columns, plane, touched);
    }
  }
  for (std::int64_t row = touched.low; row < touched.high; ++row) {
    std::uint8_t* line = plane + row * columns;
    std::uint8_t inside = 0;
    for (std::int64_t column = 0; column < columns; ++column) line[column] = inside ^= line[column];
  }
}

}  // namespace

void fill(const double* points, const std::int64_t* starts, const std::int64_t* first, std::int64_t planes,
          std::int64_t rows, std::int64_t columns, std::uint8_t* out, int threads) {
  cpu::parallel_for(planes, 1, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t plane = begin; plane < end; ++plane)
      fill_plane(points, starts, first[plane], first[plane + 1], rows, columns, out + plane * rows * columns);
  });
}

}  // namespace fastimg::dicom
