#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

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

namespace {

using Triple = std::array<std::int32_t, 3>;

// Keeps the corners of the convex hull of each plane of constant `axis`.
std::vector<Triple> hulls_across(std::vector<Triple> points, int axis) {
  const int u = axis == 0 ? 1 : 0, v = axis == 2 ? 1 : 2;
  std::sort(points.begin(), points.end(), [=](const Triple& a, const Triple& b) {
    return a[axis] != b[axis] ? a[axis] < b[axis] : a[u] != b[u] ? a[u] < b[u] : a[v] < b[v];
  });
  points.erase(std::unique(points.begin(), points.end()), points.end());
  std::vector<Triple> kept;
  std::vector<Point> low, high, hull;
  for (std::size_t begin = 0, end; begin < points.size(); begin = end) {
    low.clear();
    high.clear();
    for (end = begin; end < points.size() && points[end][axis] == points[begin][axis]; ++end) {
      const Point p{points[end][u], points[end][v]};
      if (low.empty() || low.back().y != p.y) {
        low.push_back(p);
        high.push_back(p);
      }
      high.back() = p;
    }
    for (const int side : {1, -1}) {
      chain(side == 1 ? low : high, side, hull);
      for (const Point& p : hull) {
        Triple triple;
        triple[axis] = points[begin][axis];
        triple[u] = p.y;
        triple[v] = p.x;
        kept.push_back(triple);
      }
    }
  }
  std::sort(kept.begin(), kept.end());
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  return kept;
}

double squared(const std::int32_t* a, const std::int32_t* b, const double* spacing) {
  double sum = 0;
  for (int axis = 0; axis < 3; ++axis) {
    const double d = 0.5 * (a[axis] - b[axis]) * spacing[axis];
    sum += d * d;
  }
  return sum;
}

}  // namespace

std::vector<std::int32_t> fewer(const std::int32_t* points, std::int64_t count) {
  std::vector<Triple> left(count);
  for (std::int64_t i = 0; i < count; ++i) left[i] = {points[3 * i], points[3 * i + 1], points[3 * i + 2]};
  left = hulls_across(hulls_across(std::move(left), 1), 2);
  std::vector<std::int32_t> flat;
  for (const Triple& point : left) flat.insert(flat.end(), point.begin(), point.end());
  return flat;
}

double diameter_in_planes(const std::int32_t* points, std::int64_t count, const double* spacing) {
  double best = 0;
  for (std::int64_t begin = 0, end; begin < count; begin = end)
    for (end = begin; end < count && points[3 * end] == points[3 * begin]; ++end)
      for (std::int64_t i = begin; i < end; ++i)
        best = std::max(best, squared(points + 3 * i, points + 3 * end, spacing));
  return std::sqrt(best);
}

double diameter(std::vector<std::int32_t> points, const double* spacing) {
  // Points in order of their distance from the middle of their box, far ones first: a pair can only be the farthest
  // while the sum of both distances reaches the best found so far.
  const std::int64_t count = static_cast<std::int64_t>(points.size() / 3);
  double middle[3];
  for (int axis = 0; axis < 3; ++axis) {
    std::int32_t low = INT32_MAX, high = INT32_MIN;
    for (std::int64_t i = 0; i < count; ++i) {
      low = std::min(low, points[3 * i + axis]);
      high = std::max(high, points[3 * i + axis]);
    }
    middle[axis] = 0.5 * (static_cast<double>(low) + high);
  }
  std::vector<std::pair<double, std::int64_t>> order(count);
  for (std::int64_t i = 0; i < count; ++i) {
    double sum = 0;
    for (int axis = 0; axis < 3; ++axis) {
      const double d = 0.5 * (points[3 * i + axis] - middle[axis]) * spacing[axis];
      sum += d * d;
    }
    order[i] = {-std::sqrt(sum), i};
  }
  std::sort(order.begin(), order.end());
  double best = 0;
  for (std::int64_t i = 1; i < count; ++i) {
    double reach = std::sqrt(best) * (1 - 1e-12);
    if (-order[i].first - order[0].first < reach) break;
    for (std::int64_t j = 0; j < i && -order[i].first - order[j].first >= reach; ++j) {
      const double length = squared(points.data() + 3 * order[i].second, points.data() + 3 * order[j].second, spacing);
      if (length > best) {
        best = length;
        reach = std::sqrt(best) * (1 - 1e-12);
      }
    }
  }
  return std::sqrt(best);
}

}  // namespace fastimg::radiomics
