// Included once in each level's region: no include guard, no standard header.
#include "fastimg/oblique.cuh"

namespace fastimg::resampling::FASTIMG_LEVEL {
namespace {

using fastimg::kLanes;

// Whole part and rest of kLanes positions along one axis.
template <class C>
struct Line {
  alignas(64) int index[kLanes];
  alignas(64) C rest[kLanes];

  __attribute__((always_inline)) void set(const double* m, std::int64_t from, double k, double j, double i) {
    const auto start = fastimg::block_start<C>(m, k, j, i);
    const C step = static_cast<C>(m[2]);
    for (int lane = 0; lane < kLanes; ++lane)
      fastimg::lane_position(start, static_cast<C>(lane), step, index[lane], rest[lane]);
    for (int lane = 0; lane < kLanes; ++lane) index[lane] -= static_cast<int>(from);
  }
};

template <class C>
struct Block {
  Line<C> z, y, x;

  __attribute__((always_inline)) void set(const Affine& a, std::int64_t k, std::int64_t j, std::int64_t i) {
    const double dk = static_cast<double>(k + a.to[0]), dj = static_cast<double>(j + a.to[1]),
                 di = static_cast<double>(i + a.to[2]);
    if (a.field) return displaced(a, (k * a.out[1] + j) * a.out[2] + i, a.out[2] - i, dk, dj, di);
    z.set(a.m, a.from[0], dk, dj, di);
    y.set(a.m + 4, a.from[1], dk, dj, di);
    x.set(a.m + 8, a.from[2], dk, dj, di);
  }
  void displaced(const Affine& a, std::int64_t place, std::int64_t left, double k, double j, double i) {
    const float* const narrow = static_cast<const float*>(a.field);
    const double* const wide = static_cast<const double*>(a.field);
    for (int lane = 0; lane < kLanes; ++lane) {
      const std::int64_t at = 3 * (place + (lane < left ? lane : left - 1));
      const double dx = a.field_double ? wide[at] : narrow[at], dy = a.field_double ? wide[at + 1] : narrow[at + 1],
                   dz = a.field_double ? wide[at + 2] : narrow[at + 2], o = i + lane;
      fastimg::displaced_position(a.m, a.n, k, j, o, dx, dy, dz, z.index[lane], z.rest[lane]);
      fastimg::displaced_position(a.m + 4, a.n + 3, k, j, o, dx, dy, dz, y.index[lane], y.rest[lane]);
      fastimg::displaced_position(a.m + 8, a.n + 6, k, j, o, dx, dy, dz, x.index[lane], x.rest[lane]);
    }
  }
  __attribute__((always_inline)) bool inside(const Affine& a, int lane) const {
    return a.edge || (fastimg::inside(z.index[lane], z.rest[lane], static_cast<int>(a.in[0])) &&
                      fastimg::inside(y.index[lane], y.rest[lane], static_cast<int>(a.in[1])) &&
                      fastimg::inside(x.index[lane], x.rest[lane], static_cast<int>(a.in[2])));
  }
};

// One copy a type of arithmetic, where loops by the dozen would each take their own and a second to compile.
template <class C>
__attribute__((noinline)) void find_block(Block<C>& b, const Affine& a, std::int64_t k, std::int64_t j,
                                          std::int64_t i) {
  b.set(a, k, j, i);
}

template <int D, class T, class C>
void interpolate_row(const void* in, const Affine& a, const Fused<C>& fused, const Piece& p, C* out,
                     unsigned char* inside) {
  const T* const v = static_cast<const T*>(in);
  const fastimg::Box n = {a.in[0], a.in[1], a.in[2]};
  Block<C> b;
  for (std::int64_t o = 0; o < p.count; o += kLanes) {
    find_block(b, a, p.k, p.j, p.i + o);
    const int lanes = p.count - o < kLanes ? static_cast<int>(p.count - o) : kLanes;
    for (int l = 0; l < lanes; ++l) {
      inside[o + l] = b.inside(a, l);
      if (inside[o + l])
        out[o + l] = fastimg::sample_at<D, C>(v, fused.intake, n, b.z.index[l], b.y.index[l], b.x.index[l], b.z.rest[l],
                                              b.y.rest[l], b.x.rest[l]);
    }
  }
}

}  // namespace
}  // namespace fastimg::resampling::FASTIMG_LEVEL

#include "resampling/linear_loop.hpp"

namespace fastimg::resampling::FASTIMG_LEVEL {
namespace {

template <int D, class C>
void spline_row(const C* in, const Affine& a, const Piece& p, C* out, unsigned char* inside) {
  interpolate_row<D, C, C>(in, a, Fused<C>(), p, out, inside);
}

void where_row(const Affine& a, const Piece& p, Points& to) {
  Block<double> b;
  for (std::int64_t o = 0; o < p.count; o += kLanes) {
    find_block(b, a, p.k, p.j, p.i + o);
    for (int l = 0; l < kLanes; ++l) to.z[o + l] = b.z.index[l], to.y[o + l] = b.y.index[l], to.x[o + l] = b.x.index[l];
    for (int l = 0; l < kLanes; ++l) to.wz[o + l] = b.z.rest[l], to.wy[o + l] = b.y.rest[l], to.wx[o + l] = b.x.rest[l];
    for (int l = 0; l < kLanes; ++l) to.inside[o + l] = b.inside(a, l);
  }
}

template <bool nearest>
void sample_blocks(const Affine& a, const Piece& p, std::int64_t from, std::int64_t until, std::int32_t* at,
                   unsigned char* state) {
  const int nz = static_cast<int>(a.in[0]), ny = static_cast<int>(a.in[1]), nx = static_cast<int>(a.in[2]);
  const int edge = a.edge;
  Block<double> b;
  for (std::int64_t o = from; o < until; o += kLanes) {
    find_block(b, a, p.k, p.j, p.i + o);
    int inside[kLanes], all[kLanes];
    for (int l = 0; l < kLanes; ++l) {
      const int up_z = b.z.rest[l] >= 0.5, up_y = b.y.rest[l] >= 0.5, up_x = b.x.rest[l] >= 0.5;
      const int z = b.z.index[l], y = b.y.index[l], x = b.x.index[l];
      const auto within = [](int i, int n) __attribute__((always_inline)) { return (i >= 0) & (i < n); };
      inside[l] = edge | (within(z + up_z, nz) & within(y + up_y, ny) & within(x + up_x, nx));
      all[l] = nearest ? inside[l] : within(z, nz - 1) & within(y, ny - 1) & within(x, nx - 1);
      const int to_z = fastimg::clamped(nearest ? z + up_z : z, nz),
                to_y = fastimg::clamped(nearest ? y + up_y : y, ny),
                to_x = fastimg::clamped(nearest ? x + up_x : x, nx);
      at[o + l] = (to_z * ny + to_y) * nx + to_x;
    }
    for (int l = 0; l < kLanes; ++l) state[o + l] = static_cast<unsigned char>(inside[l] + (inside[l] & all[l]));
  }
}

template <bool nearest>
void samples_row(const Affine& a, const Piece& p, std::int32_t* at, unsigned char* state) {
#ifdef FASTIMG_AVX512
  if (!a.field) {
    const Runs runs(a, p, nearest ? 0.5 : 0);
    const std::int64_t first = kLanes * runs.first, behind = kLanes * runs.behind;
    const std::size_t whole = static_cast<std::size_t>((p.count + kLanes - 1) / kLanes * kLanes);
    __builtin_memset(at, 0, sizeof *at * whole);
    __builtin_memset(state, kOutside, whole);
    sample_blocks<nearest>(a, p, kLanes * runs.from, first, at, state);
    if (first < behind) {
      deep_samples_of<nearest>(a, p, first, behind - first, at + first);
      __builtin_memset(state + first, kWhole, static_cast<std::size_t>(behind - first));
    }
    return sample_blocks<nearest>(a, p, behind, kLanes * runs.until, at, state);
  }
#endif
  sample_blocks<nearest>(a, p, 0, p.count, at, state);
}

}  // namespace

extern const ObliqueTable<float> float_oblique;
extern const ObliqueTable<double> double_oblique;
extern const PlaceTable places;
#define FASTIMG_SPLINES(C) {nullptr, nullptr, spline_row<2, C>, spline_row<3, C>, spline_row<4, C>, spline_row<5, C>}
const ObliqueTable<float> float_oblique = {{linear_row<i8>, linear_row<u8>, linear_row<i16>, linear_row<u16>, nullptr,
                                            nullptr, nullptr, nullptr, linear_row<float>, nullptr},
                                           FASTIMG_SPLINES(float)};
const ObliqueTable<double> double_oblique = {
    {interpolate_row<1, i8, double>, interpolate_row<1, u8, double>, interpolate_row<1, i16, double>,
     interpolate_row<1, u16, double>, interpolate_row<1, i32, double>, interpolate_row<1, u32, double>,
     interpolate_row<1, i64, double>, interpolate_row<1, u64, double>, interpolate_row<1, float, double>,
     interpolate_row<1, double, double>},
    FASTIMG_SPLINES(double)};
#undef FASTIMG_SPLINES
const PlaceTable places = {where_row, samples_row<true>, samples_row<false>};

}  // namespace fastimg::resampling::FASTIMG_LEVEL
