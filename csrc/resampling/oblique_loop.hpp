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

// Whether all samples around a block's places are in the volume; at: the first of each eight.
template <class C>
__attribute__((noinline)) bool around(const Block<C>& b, const Affine& a, std::int32_t* at) {
  const int nz = static_cast<int>(a.in[0]), ny = static_cast<int>(a.in[1]), nx = static_cast<int>(a.in[2]);
  int outside = 0;
  for (int l = 0; l < kLanes; ++l) {
    const int z = b.z.index[l], y = b.y.index[l], x = b.x.index[l];
    outside |= (z < 0) | (z >= nz - 1) | (y < 0) | (y >= ny - 1) | (x < 0) | (x >= nx - 1);
    at[l] = static_cast<int>((static_cast<unsigned>(z) * ny + y) * nx + x);
  }
  return !outside;
}

// A block whose samples are all in the volume, in the order of fastimg::trilinear: that itself, over the samples taken
// out, becomes a loop that takes a fifth longer.
template <class T, class C, bool intake>
FASTIMG_ATOM void linear_block(const T* v, const Affine& a, const fastimg::Intake<C>& taken_by, const std::int32_t* at,
                               const C* z, const C* y, const C* x, C* out) {
  const std::int64_t row = a.in[2], plane = a.in[1] * row;
  const fastimg::Intake<C> t = taken_by;
  const auto sample = [t](T voxel) __attribute__((always_inline)) {
    return intake ? fastimg::taken(static_cast<C>(voxel), t) : static_cast<C>(voxel);
  };
  alignas(64) T near[8][kLanes];  // taken out first, so that what follows is done for several at once
  for (int l = 0; l < kLanes; ++l) {
    const T* const s = v + at[l];
    const T* const next = s + plane;
    near[0][l] = s[0], near[1][l] = s[1], near[2][l] = s[row], near[3][l] = s[row + 1];
    near[4][l] = next[0], near[5][l] = next[1], near[6][l] = next[row], near[7][l] = next[row + 1];
  }
  for (int l = 0; l < kLanes; ++l) {
    const C wz = z[l], wy = y[l];
    const auto side = [&](int on) __attribute__((always_inline)) {
      return fastimg::lerp(fastimg::lerp(sample(near[on][l]), sample(near[4 + on][l]), wz),
                           fastimg::lerp(sample(near[2 + on][l]), sample(near[6 + on][l]), wz), wy);
    };
    out[l] = fastimg::lerp(side(0), side(1), x[l]);
  }
}

#if defined(FASTIMG_AVX512)
constexpr int kWide = 64;  // bytes a register
#elif defined(FASTIMG_AVX2)
constexpr int kWide = 32;
#else
constexpr int kWide = 16;
#endif

// fastimg::sample_at of a spline from the first of its taps, all of which are in the volume: the taps of a row at once,
// and what stands behind them, up to kAcross samples, which is not used.
template <int D>
constexpr int kAcross = D < 4 ? 4 : 8;
template <int D, class C>
FASTIMG_ATOM C spline_inside(const C* first, std::int64_t row, std::int64_t plane, C wz, C wy, C wx) {
  typedef C Taps __attribute__((vector_size(kAcross<D> * sizeof(C))));
  C az[D + 1], ay[D + 1], ax[D + 1], sum = C(0);
  fastimg::spline_weights<D>(wz, az);
  fastimg::spline_weights<D>(wy, ay);
  fastimg::spline_weights<D>(wx, ax);
  Taps column = {};
  for (int u = 0; u <= D; ++u) {
    Taps line = {};
    for (int t = 0; t <= D; ++t) {
      Taps taps;
      __builtin_memcpy(&taps, first + t * plane + u * row, sizeof taps);
      line = line + az[t] * taps;
    }
    column = column + ay[u] * line;
  }
  for (int s = 0; s <= D; ++s) sum = fastimg::weigh(sum, ax[s], column[s]);
  return sum;
}

// Outputs [from, until) of a piece, from a block's first on.
template <int D, class T, class C>
void interpolate_blocks(const void* in, const Affine& a, const Fused<C>& fused, const Piece& p, std::int64_t from,
                        std::int64_t until, C* out, unsigned char* inside) {
  const T* const v = static_cast<const T*>(in);
  const fastimg::Box n = {a.in[0], a.in[1], a.in[2]};
  [[maybe_unused]] const bool small = n.z * n.y * n.x < std::int64_t{1} << 31;
  Block<C> b;
  for (std::int64_t o = from; o < until; o += kLanes) {
    find_block(b, a, p.k, p.j, p.i + o);
    if constexpr (D == 1) {
      alignas(64) std::int32_t at[kLanes];
      if (small && around(b, a, at)) {
        if (fused.intake.on)
          linear_block<T, C, true>(v, a, fused.intake, at, b.z.rest, b.y.rest, b.x.rest, out + o);
        else
          linear_block<T, C, false>(v, a, fused.intake, at, b.z.rest, b.y.rest, b.x.rest, out + o);
        __builtin_memset(inside + o, 1, kLanes);
        continue;
      }
    }
    const int lanes = until - o < kLanes ? static_cast<int>(until - o) : kLanes;
    for (int l = 0; l < lanes; ++l) {
      inside[o + l] = b.inside(a, l);
      if constexpr (D > 1 && kAcross<D> * sizeof(C) <= kWide) {
        int z = b.z.index[l], y = b.y.index[l], x = b.x.index[l];
        C wz = b.z.rest[l], wy = b.y.rest[l], wx = b.x.rest[l];
        fastimg::centre_taps<D>(z, wz), fastimg::centre_taps<D>(y, wy), fastimg::centre_taps<D>(x, wx);
        z -= D / 2, y -= D / 2, x -= D / 2;
        if (z >= 0 && z < n.z - D && y >= 0 && y < n.y - D && x >= 0 && x <= n.x - kAcross<D>) {
          out[o + l] = spline_inside<D>(v + (z * n.y + y) * n.x + x, n.x, n.y * n.x, wz, wy, wx);
          continue;
        }
      }
      if (inside[o + l])
        out[o + l] = fastimg::sample_at<D, C>(v, fused.intake, n, b.z.index[l], b.y.index[l], b.x.index[l], b.z.rest[l],
                                              b.y.rest[l], b.x.rest[l]);
    }
  }
}

template <int D, class T, class C>
void interpolate_row(const void* in, const Affine& a, const Fused<C>& fused, const Piece& p, C* out,
                     unsigned char* inside) {
  interpolate_blocks<D, T, C>(in, a, fused, p, 0, p.count, out, inside);
}

}  // namespace
}  // namespace fastimg::resampling::FASTIMG_LEVEL

#include "resampling/linear_loop.hpp"

namespace fastimg::resampling::FASTIMG_LEVEL {
namespace {

// Linear in double.
template <class T>
void wide_row(const void* in, const Affine& a, const Fused<double>& fused, const Piece& p, double* out,
              unsigned char* inside) {
#ifdef FASTIMG_AVX512
  if (!a.field && a.in[0] * a.in[1] * a.in[2] < std::int64_t{1} << 31) {
    const T* const v = static_cast<const T*>(in);
    const auto rim = [&](std::int64_t from, std::int64_t until) {
      interpolate_blocks<1, T, double>(in, a, fused, p, from, until, out, inside);
    };
    return by_runs(a, p, 0, inside, rim, [&](std::int64_t from, std::int64_t count) {
      alignas(64) std::int32_t at[kPiece];
      alignas(64) double rest[3][kPiece];
      deep_samples_of<false>(a, p, from, count, at, rest);
      for (std::int64_t o = 0; o < count; o += kLanes) {
        double* const to = out + from + o;
        if (fused.intake.on)
          linear_block<T, double, true>(v, a, fused.intake, at + o, rest[0] + o, rest[1] + o, rest[2] + o, to);
        else
          linear_block<T, double, false>(v, a, fused.intake, at + o, rest[0] + o, rest[1] + o, rest[2] + o, to);
      }
    });
  }
#endif
  interpolate_row<1, T, double>(in, a, fused, p, out, inside);
}

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

// Places and states, as PlaceTable's, of outputs [from, until) of a piece.
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
  const auto rim = [&](std::int64_t from, std::int64_t until) { sample_blocks<nearest>(a, p, from, until, at, state); };
#ifdef FASTIMG_AVX512
  if (!a.field) {
    __builtin_memset(at, 0, sizeof *at * static_cast<std::size_t>(p.count));
    return by_runs(a, p, nearest ? 0.5 : 0, state, rim, [&](std::int64_t from, std::int64_t count) {
      deep_samples_of<nearest>(a, p, from, count, at + from, nullptr);
    });
  }
#endif
  rim(0, p.count);
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
    {wide_row<i8>, wide_row<u8>, wide_row<i16>, wide_row<u16>, wide_row<i32>, wide_row<u32>, wide_row<i64>,
     wide_row<u64>, wide_row<float>, wide_row<double>},
    FASTIMG_SPLINES(double)};
#undef FASTIMG_SPLINES
const PlaceTable places = {where_row, samples_row<true>, samples_row<false>};

}  // namespace fastimg::resampling::FASTIMG_LEVEL
