// Where a voxel of a turned or sheared grid lies in the source: double once in 16 voxels of a row, then the
// arithmetic's type for the way from there. An error of the latter is below 16 steps' rounding, about 2e-6 voxels in
// float.
#pragma once
#include "fastimg/bspline.cuh"
#include "fastimg/interpolate.cuh"
#include "fastimg/vote.cuh"

namespace fastimg {

constexpr int kLanes = 16;

template <class C>
struct Start {  // position = index + offset
  int index;
  C offset;
};

// floor(p) of |p| <= 1e9, as both. Conversions of double run at an eighth of its additions' rate on a GPU: there the
// number is read from the low bits of p + 1.5 * 2^52, which is rounded to a whole number.
FASTIMG_ATOM double floor_of(double p, int& index) {
#ifdef __CUDA_ARCH__
  const double shifted = p + 6755399441055744.0, nearest = shifted - 6755399441055744.0;
  const bool above = nearest > p;
  index = __double2loint(shifted) - (above ? 1 : 0);
  return above ? nearest - 1.0 : nearest;
#else
  index = (int)p;
  index -= (double)index > p ? 1 : 0;
  return (double)index;
#endif
}

// Of |p| <= 1e9.
template <class C>
FASTIMG_ATOM Start<C> start_at(double p) {
  int index;
  const double whole_part = floor_of(p, index);
  return {index, (C)(p - whole_part)};
}

FASTIMG_ATOM double within_reach(double p) {
  p = p < -1e9 ? -1e9 : p;
  return p > 1e9 ? 1e9 : p;
}

// Row `m` of the 3 x 4 matrix at target index (k, j, i).
template <class C>
FASTIMG_ATOM Start<C> block_start(const double* m, double k, double j, double i) {
  return start_at<C>(within_reach(((m[0] * k + m[1] * j) + m[2] * i) + m[3]));
}

// What lies `way` after a start: whole part and rest in [0, 1).
template <class C>
FASTIMG_ATOM void moved_position(const Start<C>& start, C way, int& index, C& rest) {
  const C q = start.offset + way;
  int whole_part = (int)q;
  whole_part = (C)whole_part > q ? whole_part - 1 : whole_part;
  index = start.index + whole_part;
  rest = q - (C)whole_part;
}

// The position of a lane of the block that begins there.
template <class C>
FASTIMG_ATOM void lane_position(const Start<C>& start, C lane, C step, int& index, C& rest) {
  moved_position(start, lane * step, index, rest);
}

// Where row `m` puts index (k, j, i) that is displaced by (x, y, z) mm; `n`: the row of the source's inverse affine.
template <class C>
FASTIMG_ATOM void displaced_position(const double* m, const double* n, double k, double j, double i, double x, double y,
                                     double z, int& index, C& rest) {
  double p = (((m[0] * k + m[1] * j) + m[2] * i) + m[3]) + ((n[0] * x + n[1] * y) + n[2] * z);
  p = within_reach(p);
  p = p == p ? p : -1e9;  // NaN is outside
  index = (int)p;
  index = (double)index > p ? index - 1 : index;
  rest = (C)(p - (double)index);
  index = rest == C(1) ? index + 1 : index;  // float rounds up to the next sample
  rest = rest == C(1) ? C(0) : rest;
}

// From half a voxel before the first sample to half a voxel after the last one, as in ITK.
template <class C>
FASTIMG_ATOM bool inside(int index, C rest, int n) {
  const int near = index + (rest >= C(0.5) ? 1 : 0);
  return near >= 0 && near < n;
}

FASTIMG_ATOM int clamped(int i, int n) {
  i = i < 0 ? 0 : i;
  return i > n - 1 ? n - 1 : i;
}

struct Box {
  i64 z, y, x;
};

struct Point {
  int z, y, x;
  double wz, wy, wx;
  bool inside;
};

template <class T>
FASTIMG_ATOM T nearest_at(const T* v, const Box& n, const Point& p) {
  const i64 z = clamped(p.z + (p.wz >= 0.5 ? 1 : 0), (int)n.z), y = clamped(p.y + (p.wy >= 0.5 ? 1 : 0), (int)n.y);
  return v[(z * n.y + y) * n.x + clamped(p.x + (p.wx >= 0.5 ? 1 : 0), (int)n.x)];
}

// The vote of the eight samples around a point.
template <class T>
FASTIMG_ATOM T vote_8(const T* v, const Box& n, const Point& p) {
  const auto at = [&](int t, int u, int s) {
    const i64 z = clamped(p.z + t, (int)n.z), y = clamped(p.y + u, (int)n.y);
    return v[(z * n.y + y) * n.x + clamped(p.x + s, (int)n.x)];
  };
  const auto weight = [&](int t, int u, int s) {
    return (t ? p.wz : 1.0 - p.wz) * (u ? p.wy : 1.0 - p.wy) * (s ? p.wx : 1.0 - p.wx);
  };
  return vote<T>(2, 2, 2, at, weight);
}

// Linear between samples x0 and x1 of four rows: planes z and z + 1 of row y, then of row y + 1.
template <class C, class T>
FASTIMG_ATOM C trilinear(const T* v00, const T* v10, const T* v01, const T* v11, i64 x0, i64 x1,
                         const Intake<C>& intake, C wz, C wy, C wx) {
  const auto at = [&](T voxel) { return intake.on ? taken((C)voxel, intake) : (C)voxel; };
  const C a = lerp(at(v00[x0]), at(v10[x0]), wz), b = lerp(at(v01[x0]), at(v11[x0]), wz);
  const C c = lerp(at(v00[x1]), at(v10[x1]), wz), d = lerp(at(v01[x1]), at(v11[x1]), wz);
  return lerp(lerp(a, b, wy), lerp(c, d, wy), wx);
}

// Even degrees centre their taps on the nearest sample.
template <int D, class C>
FASTIMG_ATOM void centre_taps(int& i, C& w) {
  const C half = C(0.5);
  if (D % 2 == 0) i += w >= half ? 1 : 0, w = w >= half ? w - half : w + half;
}

// Interpolation at one point; D: degree (0 nearest, 1 linear, else B-spline coefficients). Any position is allowed:
// linear and nearest take the outermost sample outside, splines the mirrored one (of coefficients: no intake).
template <int D, class C, class T>
FASTIMG_ATOM C sample_at(const T* v, const Intake<C>& intake, const Box& n, int iz, int iy, int ix, C wz, C wy, C wx) {
  if (D == 1) {
    const i64 z0 = clamped(iz, (int)n.z) * n.y, z1 = clamped(iz + 1, (int)n.z) * n.y;
    const i64 y0 = clamped(iy, (int)n.y), y1 = clamped(iy + 1, (int)n.y);
    return trilinear(v + (z0 + y0) * n.x, v + (z1 + y0) * n.x, v + (z0 + y1) * n.x, v + (z1 + y1) * n.x,
                     clamped(ix, (int)n.x), clamped(ix + 1, (int)n.x), intake, wz, wy, wx);
  }
  centre_taps<D>(iz, wz), centre_taps<D>(iy, wy), centre_taps<D>(ix, wx);
  C az[D + 1], ay[D + 1], ax[D + 1];
  spline_weights<D>(wz, az);
  spline_weights<D>(wy, ay);
  spline_weights<D>(wx, ax);
  const int before = D / 2;
  i64 z[D + 1], y[D + 1];
  for (int t = 0; t <= D; ++t) z[t] = mirrored((i64)iz - before + t, n.z) * n.y * n.x;
  for (int t = 0; t <= D; ++t) y[t] = mirrored((i64)iy - before + t, n.y) * n.x;
  C sum = C(0);
  for (int tx = 0; tx <= D; ++tx) {
    const T* at = v + mirrored((i64)ix - before + tx, n.x);
    C column = C(0);
    for (int ty = 0; ty <= D; ++ty) {
      C line = C(0);
      for (int tz = 0; tz <= D; ++tz) line = weigh(line, az[tz], (C)at[z[tz] + y[ty]]);
      column = weigh(column, ay[ty], line);
    }
    sum = weigh(sum, ax[tx], column);
  }
  return sum;
}

}  // namespace fastimg
