// Included once in each level's region: no include guard, no standard header.
#include "fastimg/oblique.cuh"

namespace fastimg::resampling::FASTIMG_LEVEL {
namespace {

using fastimg::kLanes;

// Whole part and rest of kLanes positions along one axis.
template <class C>
struct Line {
  int index[kLanes];
  C rest[kLanes];

  __attribute__((always_inline)) void set(const double* m, std::int64_t k, std::int64_t j, std::int64_t i) {
    const auto start = fastimg::block_start<C>(m, static_cast<double>(k), static_cast<double>(j), static_cast<double>(i));
    const C step = static_cast<C>(m[2]);
    for (int lane = 0; lane < kLanes; ++lane)
      fastimg::lane_position(start, static_cast<C>(lane), step, index[lane], rest[lane]);
  }
  // Whether all lanes have both neighbours inside. Positions are monotonic: the ends speak for all.
  __attribute__((always_inline)) bool within(std::int64_t n) const {
    return index[0] >= 0 && index[kLanes - 1] >= 0 && index[0] + 1 < n && index[kLanes - 1] + 1 < n;
  }
};

template <class C>
struct Block {
  Line<C> z, y, x;

  __attribute__((always_inline)) void set(const Affine& a, std::int64_t k, std::int64_t j, std::int64_t i) {
    z.set(a.m, k, j, i);
    y.set(a.m + 4, k, j, i);
    x.set(a.m + 8, k, j, i);
  }
  __attribute__((always_inline)) bool inside(const Affine& a, int lane) const {
    return a.edge || (fastimg::inside(z.index[lane], z.rest[lane], static_cast<int>(a.in[0])) &&
                      fastimg::inside(y.index[lane], y.rest[lane], static_cast<int>(a.in[1])) &&
                      fastimg::inside(x.index[lane], x.rest[lane], static_cast<int>(a.in[2])));
  }
};

// All 16 points between samples: eight of them, no borders.
template <class T, class C>
FASTIMG_ATOM void linear_within(const T* __restrict v, const Affine& a, const Block<C>& b, C* __restrict out) {
  const std::int64_t row = a.in[2], plane = a.in[1] * row;
  const T* const base = v + b.z.index[0] * plane + b.y.index[0] * row + b.x.index[0];
  std::int64_t at[kLanes];
  for (int l = 0; l < kLanes; ++l)
    at[l] = (b.z.index[l] - b.z.index[0]) * plane + (b.y.index[l] - b.y.index[0]) * row + (b.x.index[l] - b.x.index[0]);
  for (int l = 0; l < kLanes; ++l) {
    const T* const p = base + at[l];
    const C p00 = fastimg::lerp(static_cast<C>(p[0]), static_cast<C>(p[plane]), b.z.rest[l]);
    const C p10 = fastimg::lerp(static_cast<C>(p[row]), static_cast<C>(p[plane + row]), b.z.rest[l]);
    const C p01 = fastimg::lerp(static_cast<C>(p[1]), static_cast<C>(p[plane + 1]), b.z.rest[l]);
    const C p11 = fastimg::lerp(static_cast<C>(p[row + 1]), static_cast<C>(p[plane + row + 1]), b.z.rest[l]);
    out[l] = fastimg::lerp(fastimg::lerp(p00, p10, b.y.rest[l]), fastimg::lerp(p01, p11, b.y.rest[l]), b.x.rest[l]);
  }
}

template <int D, class T, class C>
void interpolate_row(const void* in, const Affine& a, std::int64_t k, std::int64_t j, C* out, unsigned char* inside) {
  const T* const v = static_cast<const T*>(in);
  const fastimg::Box n = {a.in[0], a.in[1], a.in[2]};
  Block<C> b;
  for (std::int64_t i = 0; i < a.out[2]; i += kLanes) {
    b.set(a, k, j, i);
    const int lanes = a.out[2] - i < kLanes ? static_cast<int>(a.out[2] - i) : kLanes;
    if (D == 1 && lanes == kLanes && b.z.within(n.z) && b.y.within(n.y) && b.x.within(n.x)) {
      linear_within(v, a, b, out + i);
      for (int l = 0; l < kLanes; ++l) inside[i + l] = 1;
      continue;
    }
    for (int l = 0; l < lanes; ++l) {
      inside[i + l] = b.inside(a, l);
      if (inside[i + l])
        out[i + l] = fastimg::sample_at<D, C>(v, n, b.z.index[l], b.y.index[l], b.x.index[l], b.z.rest[l], b.y.rest[l],
                                              b.x.rest[l]);
    }
  }
}

template <int D, class C>
void spline_row(const C* in, const Affine& a, std::int64_t k, std::int64_t j, C* out, unsigned char* inside) {
  interpolate_row<D, C, C>(in, a, k, j, out, inside);
}

template <class C>
void nearest_row(const Affine& a, std::int64_t k, std::int64_t j, std::int64_t* place) {
  Block<C> b;
  const auto near = [](const Line<C>& line, int l, std::int64_t n) {
    return fastimg::clamped(line.index[l] + (line.rest[l] >= C(0.5) ? 1 : 0), static_cast<int>(n));
  };
  for (std::int64_t i = 0; i < a.out[2]; i += kLanes) {
    b.set(a, k, j, i);
    const int lanes = a.out[2] - i < kLanes ? static_cast<int>(a.out[2] - i) : kLanes;
    for (int l = 0; l < lanes; ++l)
      place[i + l] = !b.inside(a, l) ? -1
                                     : (static_cast<std::int64_t>(near(b.z, l, a.in[0])) * a.in[1] + near(b.y, l, a.in[1])) *
                                               a.in[2] + near(b.x, l, a.in[2]);
  }
}

}  // namespace

extern const ObliqueTable<float> float_oblique;
extern const ObliqueTable<double> double_oblique;
#define FASTIMG_SPLINES(C) \
  {nullptr, nullptr, spline_row<2, C>, spline_row<3, C>, spline_row<4, C>, spline_row<5, C>}
const ObliqueTable<float> float_oblique = {
    {interpolate_row<1, i8, float>, interpolate_row<1, u8, float>, interpolate_row<1, i16, float>,
     interpolate_row<1, u16, float>, nullptr, nullptr, nullptr, nullptr, interpolate_row<1, float, float>, nullptr},
    FASTIMG_SPLINES(float),
    nearest_row<double>};  // places are computed in double whatever the voxels: all dtypes pick the same ones
const ObliqueTable<double> double_oblique = {
    {interpolate_row<1, i8, double>, interpolate_row<1, u8, double>, interpolate_row<1, i16, double>,
     interpolate_row<1, u16, double>, interpolate_row<1, i32, double>, interpolate_row<1, u32, double>,
     interpolate_row<1, i64, double>, interpolate_row<1, u64, double>, interpolate_row<1, float, double>,
     interpolate_row<1, double, double>},
    FASTIMG_SPLINES(double),
    nearest_row<double>};
#undef FASTIMG_SPLINES

}  // namespace fastimg::resampling::FASTIMG_LEVEL
