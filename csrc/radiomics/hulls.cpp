#include <algorithm>
#include <cmath>

#include "radiomics/bits.hpp"
#include "radiomics/shape.hpp"

namespace fastimg::radiomics {
namespace {

struct Point {
  std::int32_t y, x;
};

// One side of a convex hull (Andrew's monotone chain), points in order of y; `side` +1 keeps small x, -1 large x.
void chain(const std::vector<Point>& points, int side, std::vector<Point>& hull) {
  hull.clear();
  for (const Point& p : points) {
    while (hull.size() > 1) {
      const Point &a = hull[hull.size() - 2], &b = hull.back();
      const std::int64_t turn = std::int64_t{b.y - a.y} * (p.x - a.x) - std::int64_t{b.x - a.x} * (p.y - a.y);
      if (turn * side > 0) break;
      hull.pop_back();
    }
    hull.push_back(p);
  }
}

// The vertices of one plane: at each y the smallest and the largest x, in half voxels.
class Outline {
 public:
  void clear() {
    low_.clear();
    high_.clear();
  }
  void add(std::int64_t y, std::int64_t low, std::int64_t high) {
    low_.push_back({static_cast<std::int32_t>(y), static_cast<std::int32_t>(low)});
    high_.push_back({static_cast<std::int32_t>(y), static_cast<std::int32_t>(high)});
  }
  void emit(std::int64_t plane, std::vector<std::int32_t>& out) {
    if (low_.empty()) return;
    const auto z = static_cast<std::int32_t>(plane);
    chain(low_, 1, hull_);
    for (const Point& p : hull_) out.insert(out.end(), {z, p.y, p.x});
    chain(high_, -1, hull_);
    for (const Point& p : hull_) out.insert(out.end(), {z, p.y, p.x});
  }

 private:
  std::vector<Point> low_, high_, hull_;
};

}  // namespace

std::vector<std::int32_t> plane_hulls(const Mask& mask, int threads) {
  const std::int64_t grain = (mask.nz + 15) / 16;
  std::vector<std::vector<std::int32_t>> parts((mask.nz + grain - 1) / grain);
  cpu::parallel_for(mask.nz, grain, threads, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int32_t>& out = parts[begin / grain];
    BitPlane plane(mask, begin), above(mask, begin);
    std::vector<std::uint64_t> change(plane.words);
    Outline outline;
    std::int64_t first, last;
    const auto changed = [&](const std::uint64_t* a, const std::uint64_t* b) {
      for (std::int64_t w = 0; w < plane.words; ++w) change[w] = a[w] ^ b[w];
      return ends(change.data(), plane.words, first, last);
    };
    for (std::int64_t z = begin; z < end; ++z) {
      outline.clear();
      for (std::int64_t y = 0; y < mask.ny; ++y) {
        if (ends(plane.row(y), plane.words, first, last)) outline.add(2 * y, 2 * first - 1, 2 * last + 1);
        if (y + 1 < mask.ny && changed(plane.row(y), plane.row(y + 1))) outline.add(2 * y + 1, 2 * first, 2 * last);
      }
      outline.emit(2 * z, out);
      if (z + 1 == mask.nz) break;
      above.load(mask, z + 1);
      outline.clear();
      for (std::int64_t y = 0; y < mask.ny; ++y)
        if (changed(plane.row(y), above.row(y))) outline.add(2 * y, 2 * first, 2 * last);
      outline.emit(2 * z + 1, out);
      std::swap(plane.bits, above.bits);
    }
  });
  std::vector<std::int32_t> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

void diameters(const std::int32_t* points, std::int64_t count, const double* spacing, double* largest, double* in_plane) {
  *largest = *in_plane = 0;
  if (count == 0) return;
  std::vector<double> p[3];
  double middle[3];
  for (int axis = 0; axis < 3; ++axis) {
    p[axis].resize(count);
    double low = INFINITY, high = -INFINITY;
    for (std::int64_t i = 0; i < count; ++i) {
      const double at = p[axis][i] = 0.5 * points[3 * i + axis] * spacing[axis];
      low = std::min(low, at);
      high = std::max(high, at);
    }
    middle[axis] = 0.5 * (low + high);
  }
  const auto squared = [&](std::int64_t i, std::int64_t j) {
    const double z = p[0][i] - p[0][j], y = p[1][i] - p[1][j], x = p[2][i] - p[2][j];
    return z * z + y * y + x * x;
  };

  double plane = 0;
  for (std::int64_t begin = 0, end; begin < count; begin = end) {
    for (end = begin; end < count && points[3 * end] == points[3 * begin]; ++end) {
    }
    for (std::int64_t i = begin; i < end; ++i)
      for (std::int64_t j = begin; j < i; ++j) plane = std::max(plane, squared(i, j));
  }

  // Points in order of their distance from the middle: a pair can only be the farthest while the sum of both distances
  // reaches the best found so far.
  std::vector<std::pair<double, std::int64_t>> order(count);
  for (std::int64_t i = 0; i < count; ++i) {
    const double z = p[0][i] - middle[0], y = p[1][i] - middle[1], x = p[2][i] - middle[2];
    order[i] = {-std::sqrt(z * z + y * y + x * x), i};
  }
  std::sort(order.begin(), order.end());
  double best = plane;
  for (std::int64_t i = 0; i < count; ++i) {
    const double reach = std::sqrt(best) * (1 - 1e-12);
    if (-order[i].first - order[0].first < reach) break;
    for (std::int64_t j = 0; j < i && -order[i].first - order[j].first >= reach; ++j)
      best = std::max(best, squared(order[i].second, order[j].second));
  }
  *largest = std::sqrt(best);
  *in_plane = std::sqrt(plane);
}

}  // namespace fastimg::radiomics
