#include "radiomics/enclosing.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace fastimg::radiomics {
namespace {

struct Flat {
  double u, v;
  bool operator<(const Flat& other) const { return u != other.u ? u < other.u : v < other.v; }
};

double dot(const double* a, const double* b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

// Two directions at right angles to d and to each other.
void across(const double* d, double* u, double* v) {
  int least = 0;
  for (int axis = 1; axis < 3; ++axis)
    if (std::fabs(d[axis]) < std::fabs(d[least])) least = axis;
  double length = 0;
  for (int axis = 0; axis < 3; ++axis) {
    u[axis] = (axis == least) - d[least] * d[axis];
    length += u[axis] * u[axis];
  }
  length = std::sqrt(length);
  for (int axis = 0; axis < 3; ++axis) u[axis] /= length;
  v[0] = d[1] * u[2] - d[2] * u[1];
  v[1] = d[2] * u[0] - d[0] * u[2];
  v[2] = d[0] * u[1] - d[1] * u[0];
}

// Corners of the convex hull in order (Andrew's monotone chain).
void outline(std::vector<Flat>& points, std::vector<Flat>& hull) {
  std::sort(points.begin(), points.end());
  hull.clear();
  const auto add = [&](const Flat& p, std::size_t from) {
    while (hull.size() >= from + 2) {
      const Flat &a = hull[hull.size() - 2], &b = hull.back();
      if ((b.u - a.u) * (p.v - a.v) - (b.v - a.v) * (p.u - a.u) > 0) break;
      hull.pop_back();
    }
    hull.push_back(p);
  };
  for (const Flat& p : points) add(p, 0);
  const std::size_t lower = hull.size() - 1;
  for (std::size_t i = points.size() - 1; i-- > 0;) add(points[i], lower);
  hull.pop_back();
}

// Inverse of a symmetric positive definite matrix of four rows, by Gauss and Jordan without a search for pivots.
void invert(const double* matrix, double* inverse) {
  double a[4][8] = {};
  for (int i = 0; i < 4; ++i) {
    std::copy(matrix + 4 * i, matrix + 4 * i + 4, a[i]);
    a[i][4 + i] = 1;
  }
  for (int k = 0; k < 4; ++k) {
    const double pivot = a[k][k];
    for (double& value : a[k]) value /= pivot;
    for (int i = 0; i < 4; ++i) {
      if (i == k) continue;
      const double factor = a[i][k];
      for (int j = 0; j < 8; ++j) a[i][j] -= factor * a[k][j];
    }
  }
  for (int i = 0; i < 4; ++i) std::copy(a[i] + 4, a[i] + 8, inverse + 4 * i);
}

}  // namespace

void smallest_box(const Hull& hull, const double* directions, std::int64_t count, double* sides) {
  std::vector<char> front(hull.triangles);
  std::vector<Flat> points, corners;
  double best = std::numeric_limits<double>::infinity();
  for (std::int64_t d = 0; d < count; ++d) {
    const double* direction = directions + 3 * d;
    double u[3], v[3], low = best, high = -best;
    low = std::numeric_limits<double>::infinity();
    high = -low;
    across(direction, u, v);
    for (std::int64_t t = 0; t < hull.triangles; ++t) front[t] = dot(hull.normals + 3 * t, direction) > 0;
    points.clear();
    for (std::int64_t e = 0; e < hull.edge_count; ++e) {
      const std::int32_t* edge = hull.edges + 4 * e;
      for (int end = 2; end < 4; ++end) {
        const double* p = hull.points + 3 * edge[end];
        const double height = dot(p, direction);
        low = std::min(low, height);
        high = std::max(high, height);
        // Edges between what is seen and what is not make the outline.
        if (front[edge[0]] != front[edge[1]]) points.push_back({dot(p, u), dot(p, v)});
      }
    }
    outline(points, corners);
    for (std::size_t i = 0; i < corners.size(); ++i) {
      const Flat &a = corners[i], &b = corners[(i + 1) % corners.size()];
      const double length = std::hypot(b.u - a.u, b.v - a.v);
      const double x = (b.u - a.u) / length, y = (b.v - a.v) / length;
      // From a. Beyond its edge nothing lies, unless it is no edge: points that lie one above the other along the
      // direction are apart by a rounding, in whatever way.
      double left = 0, right = 0, far = 0, beyond = 0;
      for (const Flat& c : corners) {
        const double along = (c.u - a.u) * x + (c.v - a.v) * y;
        left = std::min(left, along);
        right = std::max(right, along);
        const double across = (c.v - a.v) * x - (c.u - a.u) * y;
        far = std::max(far, across);
        beyond = std::min(beyond, across);
      }
      const double volume = (high - low) * (right - left) * (far - beyond);
      if (volume < best) {
        best = volume;
        sides[0] = high - low;
        sides[1] = right - left;
        sides[2] = far - beyond;
      }
    }
  }
}

double smallest_ellipsoid(const double* points, std::int64_t count, double* matrix) {
  constexpr double kEnough = 1e-10;
  constexpr int kMostSteps = 200000;
  std::vector<double> weight(count), lifted(4 * count), kappa(count);
  std::vector<std::int64_t> start;
  for (std::int64_t i = 0; i < count; ++i) {
    std::copy(points + 3 * i, points + 3 * i + 3, lifted.begin() + 4 * i);
    lifted[4 * i + 3] = 1;
  }
  // The outermost points along thirteen directions span the space, or their hull would be flat.
  for (int z = 0; z <= 1; ++z)
    for (int y = -z; y <= 1; ++y)
      for (int x = z || y ? -1 : 1; x <= 1; ++x) {
        const auto place = [&](std::int64_t i) {
          return lifted[4 * i] * x + lifted[4 * i + 1] * y + lifted[4 * i + 2] * z;
        };
        std::int64_t least = 0, most = 0;
        for (std::int64_t i = 1; i < count; ++i) {
          if (place(i) < place(least)) least = i;
          if (place(i) > place(most)) most = i;
        }
        start.push_back(least);
        start.push_back(most);
      }
  for (const std::int64_t i : start) weight[i] += 1.0 / static_cast<double>(start.size());
  double moments[16] = {}, inverse[16];
  const auto add = [&](std::int64_t i, double w) {
    for (int a = 0; a < 4; ++a)
      for (int b = 0; b < 4; ++b) moments[4 * a + b] += w * lifted[4 * i + a] * lifted[4 * i + b];
  };
  for (std::int64_t i = 0; i < count; ++i)
    if (weight[i] > 0) add(i, weight[i]);
  double above = 0;
  for (int step = 0; step < kMostSteps; ++step) {
    invert(moments, inverse);
    std::int64_t most = 0, least = -1;
    for (std::int64_t i = 0; i < count; ++i) {
      const double* q = lifted.data() + 4 * i;
      double sum = 0;
      for (int a = 0; a < 4; ++a)
        sum +=
            q[a] * (inverse[4 * a] * q[0] + inverse[4 * a + 1] * q[1] + inverse[4 * a + 2] * q[2] + inverse[4 * a + 3]);
      kappa[i] = sum;
      if (sum > kappa[most]) most = i;
      if (weight[i] > 0 && (least < 0 || sum < kappa[least])) least = i;
    }
    above = kappa[most] / 4 - 1;
    const double below = least < 0 ? std::nan("") : 1 - kappa[least] / 4;
    if (!(std::max(above, below) > kEnough)) break;
    const bool towards = above >= below;
    const std::int64_t i = towards ? most : least;
    // Where the determinant is largest on the line towards the point, or away from it until its weight is gone.
    double beta = (kappa[i] - 4) / (4 * (kappa[i] - 1));
    if (!towards) {
      const double gone = -weight[i] / (1 - weight[i]);
      beta = kappa[i] > 1 ? std::max(beta, gone) : gone;
    }
    for (double& w : weight) w *= 1 - beta;
    for (double& m : moments) m *= 1 - beta;
    weight[i] = !towards && weight[i] <= -beta * (1 + 1e-12) ? 0 : weight[i] + beta;
    add(i, beta);
    if (step % 64 == 63) {  // rounding does not gather
      double total = 0;
      for (const double w : weight) total += w;
      std::fill(moments, moments + 16, 0.0);
      for (std::int64_t k = 0; k < count; ++k) {
        weight[k] /= total;
        if (weight[k] > 0) add(k, weight[k]);
      }
    }
  }
  const double grown = 4 * (1 + std::max(above, 0.0)) - 1;
  for (int a = 0; a < 3; ++a)
    for (int b = 0; b < 3; ++b)
      matrix[3 * a + b] = grown * (moments[4 * a + b] - moments[4 * a + 3] * moments[4 * b + 3]);
  return 2 * above;
}

}  // namespace fastimg::radiomics
