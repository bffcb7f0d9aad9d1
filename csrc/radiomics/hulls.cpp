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

namespace {

std::vector<std::int32_t> joined(const std::vector<std::vector<std::int32_t>>& parts) {
  std::vector<std::int32_t> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// Of planes whose rows along x are row(plane, 0 .. rows).
template <class Row>
std::vector<std::int32_t> hulls_of_rows(std::int64_t planes, std::int64_t rows, std::int64_t words, int threads,
                                        const Row& row) {
  const std::int64_t grain = (planes + 15) / 16;
  std::vector<std::vector<std::int32_t>> parts((planes + grain - 1) / grain);
  cpu::parallel_for(planes, grain, threads, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int32_t>& out = parts[begin / grain];
    std::vector<std::uint64_t> change(words);
    Outline outline;
    std::int64_t first, last;
    const auto changed = [&](const std::uint64_t* a, const std::uint64_t* b) {
      for (std::int64_t w = 0; w < words; ++w) change[w] = a[w] ^ b[w];
      return ends(change.data(), words, first, last);
    };
    for (std::int64_t p = begin; p < end; ++p) {
      outline.clear();
      for (std::int64_t r = 0; r < rows; ++r) {
        if (ends(row(p, r), words, first, last)) outline.add(2 * r, 2 * first - 1, 2 * last + 1);
        if (r + 1 < rows && changed(row(p, r), row(p, r + 1))) outline.add(2 * r + 1, 2 * first, 2 * last);
      }
      outline.emit(2 * p, out);
      if (p + 1 == planes) break;
      outline.clear();
      for (std::int64_t r = 0; r < rows; ++r)
        if (changed(row(p, r), row(p + 1, r))) outline.add(2 * r, 2 * first, 2 * last);
      outline.emit(2 * p + 1, out);
    }
  });
  return joined(parts);
}

// Planes of constant x lie across the words: for each (y, x), the first and the last z of a voxel, of a change to y + 1
// and of a change to x + 1, all bits of a word at once.
class Columns {
 public:
  Columns(const Bits& bits, int threads) : bits_(bits) {
    for (auto& table : places_) table.assign(bits.ny * bits.words * 64, -1);
    cpu::parallel_for(bits.ny, (bits.ny + 15) / 16, threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t y = begin; y < end; ++y)
        for (std::int64_t w = 0; w < bits.words; ++w)
          for (int kind = 0; kind < 3; ++kind) fill(kind, y, w);
    });
  }

  std::vector<std::int32_t> hulls(int threads) const {
    const std::int64_t grain = (bits_.nx + 15) / 16;
    std::vector<std::vector<std::int32_t>> parts((bits_.nx + grain - 1) / grain);
    cpu::parallel_for(bits_.nx, grain, threads, [&](std::int64_t begin, std::int64_t end) {
      std::vector<std::int32_t>& out = parts[begin / grain];
      Outline outline;
      for (std::int64_t x = begin; x < end; ++x) {
        outline.clear();
        for (std::int64_t y = 0; y < bits_.ny; ++y) {
          const std::int64_t at = y * bits_.words * 64 + x;
          if (places_[0][at] >= 0) outline.add(2 * y, 2 * places_[0][at] - 1, 2 * places_[1][at] + 1);
          if (places_[2][at] >= 0) outline.add(2 * y + 1, 2 * places_[2][at], 2 * places_[3][at]);
        }
        outline.emit(2 * x, out);
        outline.clear();
        for (std::int64_t y = 0; y < bits_.ny; ++y) {
          const std::int64_t at = y * bits_.words * 64 + x;
          if (places_[4][at] >= 0) outline.add(2 * y, 2 * places_[4][at], 2 * places_[5][at]);
        }
        outline.emit(2 * x + 1, out);
      }
    });
    return joined(parts);
  }

 private:
  void fill(int kind, std::int64_t y, std::int64_t w) {
    const auto word = [&](std::int64_t z) {
      const std::uint64_t* row = bits_.row(z, y);
      if (kind == 0) return row[w];
      if (kind == 1) return y + 1 < bits_.ny ? row[w] ^ bits_.row(z, y + 1)[w] : std::uint64_t{0};
      return row[w] ^ (row[w] >> 1 | row[w + 1] << 63);
    };
    const auto note = [&](int table, std::int64_t z, std::uint64_t fresh) {
      std::int32_t* to = places_[table].data() + (y * bits_.words + w) * 64;
      for (; fresh; fresh &= fresh - 1) to[__builtin_ctzll(fresh)] = static_cast<std::int32_t>(z);
    };
    std::uint64_t seen = 0;
    for (std::int64_t z = 0; z < bits_.nz; ++z) {
      const std::uint64_t now = word(z);
      if (const std::uint64_t fresh = now & ~seen) note(2 * kind, z, fresh);
      seen |= now;
    }
    for (std::int64_t z = bits_.nz - 1; seen; --z) {
      const std::uint64_t now = word(z);
      if (const std::uint64_t fresh = now & seen) note(2 * kind + 1, z, fresh);
      seen &= ~now;
    }
  }

  const Bits& bits_;
  std::vector<std::int32_t> places_[6];
};

}  // namespace

void find_hulls(const Bits& bits, ShapeSums& sums, int threads) {
  sums.hulls[0] = hulls_of_rows(bits.nz, bits.ny, bits.words, threads,
                                [&](std::int64_t z, std::int64_t y) { return bits.row(z, y); });
  sums.hulls[1] = hulls_of_rows(bits.ny, bits.nz, bits.words, threads,
                                [&](std::int64_t y, std::int64_t z) { return bits.row(z, y); });
  sums.hulls[2] = Columns(bits, threads).hulls(threads);
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
