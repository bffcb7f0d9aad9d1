// Linear rows in float; included by oblique_loop.hpp, once in each level's region.
//
// Where the samples lie is found for a whole piece, then they are fetched, then they are combined, so that no load
// waits for a position and no combination for a load. Two neighbours along x come with one load. Gathers gain nothing
// where they are fast (16 in 6 cycles), and cost as much as all the rest elsewhere (45).
namespace fastimg::resampling::FASTIMG_LEVEL {
namespace {

constexpr int kAhead = 4;  // rows of the target whose samples are fetched beforehand

// Each output's place in the source, and its neighbours'; blocks with an output in the volume have a bit in `some`.
struct Places {
  // samples (z, y), (z, y + 1), (z + 1, y), (z + 1, y + 1) at x, the next one behind each; only the first in a `deep`
  // block, whose samples are all in the volume, as their neighbours are
  alignas(64) std::int32_t at[4][kPiece];
  alignas(64) std::int32_t x[kPiece];
  alignas(64) float wz[kPiece], wy[kPiece], wx[kPiece];
  std::uint32_t some = 0, deep = 0;
};

// Two samples of each output in four rows: floats as they are, others in 32 bits, the first in the lower half.
template <class T>
struct Pairs {
  static constexpr bool wide = sizeof(T) == 4;
  using Word = std::conditional_t<wide, float, std::uint32_t>;
  alignas(64) Word row[4][wide ? 2 * kPiece : kPiece];

  static constexpr int bits = 8 * static_cast<int>(sizeof(T));
  using Shifted = std::conditional_t<(static_cast<T>(-1) < T(0)), std::int32_t, std::uint32_t>;
  static __attribute__((always_inline)) float number(std::uint32_t word, int shift) {
    return static_cast<float>(static_cast<std::int32_t>(static_cast<Shifted>(word << shift) >> (32 - bits)));
  }
  __attribute__((always_inline)) float first(int r, std::int64_t o) const {
    if constexpr (wide)
      return row[r][2 * o];
    else
      return number(row[r][o], 32 - bits);
  }
  __attribute__((always_inline)) float second(int r, std::int64_t o) const {
    if constexpr (wide)
      return row[r][2 * o + 1];
    else
      return number(row[r][o], 32 - 2 * bits);
  }
};

FASTIMG_ATOM void words_at(const float* v, const std::int32_t* at, float* to) {
  for (int l = 0; l < kLanes; ++l) __builtin_memcpy(to + 2 * l, v + at[l], 2 * sizeof(float));
}
template <class T>
FASTIMG_ATOM void words_at(const T* v, const std::int32_t* at, std::uint32_t* to) {
  for (int l = 0; l < kLanes; ++l) {
    std::conditional_t<sizeof(T) == 1, std::uint16_t, std::uint32_t> both;
    __builtin_memcpy(&both, v + at[l], sizeof both);
    to[l] = both;
  }
}

}  // namespace
}  // namespace fastimg::resampling::FASTIMG_LEVEL

#ifdef FASTIMG_AVX512
#include "resampling/linear_avx512.hpp"
#include "resampling/places_avx512.hpp"
#endif

namespace fastimg::resampling::FASTIMG_LEVEL {
namespace {

#ifndef FASTIMG_AVX512
template <class... Rest>
FASTIMG_ATOM void words_16(Rest... rest) {
  words_at(rest...);
}
template <class T>
FASTIMG_ATOM void rows_16(const T* const* v, const std::int32_t* at, std::int64_t o, std::int64_t, Pairs<T>& to) {
  for (int r = 0; r < 4; ++r) words_at(v[r], at, to.row[r] + (Pairs<T>::wide ? 2 * o : o));
}

__attribute__((noinline)) void places_of(const Affine& a, const Piece& p, std::int64_t from, std::int64_t count,
                                         Places& to, unsigned char* inside) {
  const int nz = static_cast<int>(a.in[0]), ny = static_cast<int>(a.in[1]), nx = static_cast<int>(a.in[2]);
  const bool edge = a.edge;
  Block<float> b;
  for (std::int64_t o = 0; o < count; o += kLanes) {
    b.set(a, p.k, p.j, p.i + from + o);
    int deep = 0, hits = 0;
    alignas(64) int in[kLanes];
    for (int l = 0; l < kLanes; ++l) {
      const int z = b.z.index[l], y = b.y.index[l], x = b.x.index[l];
      const bool over = z >= 0 && z < nz - 1, below = y >= 0 && y < ny - 1, right = x >= 0 && x < nx - 1;
      const int at = (fastimg::clamped(z, nz) * ny + fastimg::clamped(y, ny)) * nx + fastimg::clamped(x, nx - 1);
      const int under = at + (over ? ny * nx : 0), row = below ? nx : 0;
      to.at[0][o + l] = at, to.at[1][o + l] = at + row;
      to.at[2][o + l] = under, to.at[3][o + l] = under + row;
      to.x[o + l] = x;
      in[l] = edge | (fastimg::inside(z, b.z.rest[l], nz) & fastimg::inside(y, b.y.rest[l], ny) &
                      fastimg::inside(x, b.x.rest[l], nx));
      hits += in[l], deep += over & below & right;
    }
    for (int l = 0; l < kLanes; ++l) {
      inside[o + l] = static_cast<unsigned char>(in[l]);
      to.wz[o + l] = b.z.rest[l], to.wy[o + l] = b.y.rest[l], to.wx[o + l] = b.x.rest[l];
    }
    const std::uint32_t bit = 1u << (o / kLanes);
    to.some |= hits ? bit : 0;
    to.deep |= deep == kLanes ? bit : 0;
  }
}
#endif

// The order of operations is fastimg::sample_at's. deep: all samples are in the volume.
template <class T, bool intake, bool deep>
FASTIMG_ATOM void combine(const Pairs<T>& v, const Places& p, const fastimg::Intake<float>& intake_of, int last,
                          std::int64_t from, std::int64_t until, float* __restrict out) {
  const fastimg::Intake<float> t = intake_of;
  // of integers, which are finite, w = 0 gives a by itself
  const auto lerp = [](float a, float b, float w) __attribute__((always_inline)) {
    return !intake && sizeof(T) < 4 ? a + w * (b - a) : fastimg::lerp(a, b, w);
  };
  for (std::int64_t o = from; o < until; ++o) {
    float a = v.first(0, o), b = v.first(1, o), c = v.first(2, o), d = v.first(3, o);
    float e = v.second(0, o), f = v.second(1, o), g = v.second(2, o), h = v.second(3, o);
    if (intake) {
      a = fastimg::taken(a, t), b = fastimg::taken(b, t), c = fastimg::taken(c, t), d = fastimg::taken(d, t);
      e = fastimg::taken(e, t), f = fastimg::taken(f, t), g = fastimg::taken(g, t), h = fastimg::taken(h, t);
    }
    const float wz = p.wz[o], wy = p.wy[o];
    float left = lerp(lerp(a, c, wz), lerp(b, d, wz), wy), right = lerp(lerp(e, g, wz), lerp(f, h, wz), wy);
    if (!deep) {  // beside the volume both are its outermost sample
      const float one = left;
      left = p.x[o] >= last ? right : left, right = p.x[o] < 0 ? one : right;
    }
    out[o] = lerp(left, right, p.wx[o]);
  }
}

// Outputs [from, from + count) of a piece. deep: whole blocks, all samples in the volume.
template <class T, bool deep>
__attribute__((noinline)) void blocks_of(const T* v, const Affine& a, const fastimg::Intake<float>& intake,
                                         const Piece& p, std::int64_t from, std::int64_t count, float* out,
                                         unsigned char* inside) {
  const std::int64_t nx = a.in[2], plane = a.in[1] * nx;
  Places places;
#ifdef FASTIMG_AVX512
  if constexpr (deep)
    deep_places_of(a, p, from, count, places);
  else
#endif
    places_of(a, p, from, count, places, inside);
  if (!places.some) return;
  const auto rows_on = [&](int column) __attribute__((always_inline)) {
    const double way = a.m[column] * kAhead;
    return static_cast<std::int64_t>(way < 0 ? way - 0.5 : way + 0.5);
  };
  const std::int64_t ahead = rows_on(1) * plane + rows_on(5) * nx + rows_on(9);
  // into the second-level cache: planes and rows a power of two apart would drive each other out of the first
  const auto soon = [v](std::int64_t place) __attribute__((always_inline)) {
    constexpr std::int64_t size = sizeof(T);
    __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::intptr_t>(v) + place * size), 0, 2);
  };
  const T* const rows[4] = {v, v + nx, v + plane, v + plane + nx};
  Pairs<T> pairs;
  for (std::uint32_t left = places.some; left; left &= left - 1) {
    const int block = __builtin_ctz(left);
    const std::int64_t o = block * kLanes, to = Pairs<T>::wide ? 2 * o : o;
    const std::int32_t* const at = places.at[0] + o;
    if (!a.field)
      for (int l = 1; l < kLanes; l += sizeof(T) < 4 ? 6 : 4) soon(at[l] + ahead), soon(at[l] + ahead + plane);
    if (deep || (places.deep >> block & 1)) {
      rows_16(rows, at, o, a.in[0] * plane - plane - nx - 4, pairs);
    } else {
      for (int r = 0; r < 4; ++r) words_16(v, places.at[r] + o, pairs.row[r] + to);
    }
  }
  const std::int64_t begin = __builtin_ctz(places.some) * kLanes, end = (32 - __builtin_clz(places.some)) * kLanes;
  const int last = static_cast<int>(nx - 1);
  if (intake.on)
    combine<T, true, deep>(pairs, places, intake, last, begin, end, out);
  else
    combine<T, false, deep>(pairs, places, intake, last, begin, end, out);
}

template <class T>
void linear_row(const void* in, const Affine& a, const Fused<float>& fused, const Piece& p, float* out,
                unsigned char* inside) {
  if (a.in[2] < 2 || a.in[0] * a.in[1] * a.in[2] >= std::int64_t{1} << 31)
    return interpolate_row<1, T, float>(in, a, fused, p, out, inside);
  const T* const v = static_cast<const T*>(in);
  const auto rim = [&](std::int64_t from, std::int64_t until) {
    if (from < until) blocks_of<T, false>(v, a, fused.intake, p, from, until - from, out + from, inside + from);
  };
#ifdef FASTIMG_AVX512
  if (!a.field && short_ways(a))
    return by_runs(a, p, 0, inside, rim, [&](std::int64_t from, std::int64_t count) {
      blocks_of<T, true>(v, a, fused.intake, p, from, count, out + from, inside);
    });
#endif
  rim(0, p.count);
}

}  // namespace
}  // namespace fastimg::resampling::FASTIMG_LEVEL
