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
    const auto start =
        fastimg::block_start<C>(m, static_cast<double>(k), static_cast<double>(j), static_cast<double>(i));
    const C step = static_cast<C>(m[2]);
    for (int lane = 0; lane < kLanes; ++lane)
      fastimg::lane_position(start, static_cast<C>(lane), step, index[lane], rest[lane]);
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

template <int D, class T, class C>
void interpolate_row(const void* in, const Affine& a, const Fused<C>& fused, std::int64_t k, std::int64_t j, C* out,
                     unsigned char* inside) {
  const T* const v = static_cast<const T*>(in);
  const fastimg::Box n = {a.in[0], a.in[1], a.in[2]};
  Block<C> b;
  for (std::int64_t i = 0; i < a.out[2]; i += kLanes) {
    b.set(a, k, j, i);
    const int lanes = a.out[2] - i < kLanes ? static_cast<int>(a.out[2] - i) : kLanes;
    for (int l = 0; l < lanes; ++l) {
      inside[i + l] = b.inside(a, l);
      if (inside[i + l])
        out[i + l] = fastimg::sample_at<D, C>(v, fused.intake, n, b.z.index[l], b.y.index[l], b.x.index[l], b.z.rest[l], b.y.rest[l],
                                              b.x.rest[l]);
    }
  }
}

#ifdef FASTIMG_AVX512
struct BlockStart {
  int index[3];
  float offset[3];

  __attribute__((always_inline)) void set(const double* m, std::int64_t k, std::int64_t j, std::int64_t i) {
    for (int axis = 0; axis < 3; ++axis) {
      const auto start = fastimg::block_start<float>(m + 4 * axis, static_cast<double>(k), static_cast<double>(j),
                                                     static_cast<double>(i));
      index[axis] = start.index, offset[axis] = start.offset;
    }
  }
};

// The 16 points of a block in one register an axis; two neighbours along x come with one gather where they fit 32 bits.
struct Line16 {
  __m512i index;
  __m512 rest;
};

// kLanes positions along one axis from a block's start.
FASTIMG_ATOM Line16 line_16(const BlockStart& start, int axis, __m512 way) {
  const __m512 q = _mm512_add_ps(_mm512_set1_ps(start.offset[axis]), way);
  const __m512 whole = _mm512_roundscale_ps(q, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  return {_mm512_add_epi32(_mm512_set1_epi32(start.index[axis]), _mm512_cvttps_epi32(whole)), _mm512_sub_ps(q, whole)};
}

FASTIMG_ATOM __m512 way_16(double step) {
  const __m512 lanes = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  return _mm512_mul_ps(lanes, _mm512_set1_ps(static_cast<float>(step)));
}

FASTIMG_ATOM __mmask16 inside_16(const Line16& a, std::int64_t n) {
  const __mmask16 up = _mm512_cmp_ps_mask(a.rest, _mm512_set1_ps(0.5f), _CMP_GE_OQ);
  const __m512i near = _mm512_mask_add_epi32(a.index, up, a.index, _mm512_set1_epi32(1));
  return _mm512_cmplt_epu32_mask(near, _mm512_set1_epi32(static_cast<int>(n)));
}

FASTIMG_ATOM __m512i clamped_16(__m512i index, std::int64_t last) {
  return _mm512_min_epi32(_mm512_max_epi32(index, _mm512_setzero_si512()), _mm512_set1_epi32(static_cast<int>(last)));
}

FASTIMG_ATOM __m512 lerp_16(__m512 a, __m512 b, __m512 w, __mmask16 between) {
  return _mm512_mask_add_ps(a, between, a, _mm512_mul_ps(w, _mm512_sub_ps(b, a)));
}

FASTIMG_ATOM void pair_16(const float* v, __m512i at, __m512& a, __m512& b) {
  a = _mm512_i32gather_ps(at, v, 4);
  b = _mm512_i32gather_ps(at, v + 1, 4);
}
FASTIMG_ATOM void pair_16(const i16* v, __m512i at, __m512& a, __m512& b) {
  const __m512i both = _mm512_i32gather_epi32(at, v, 2);
  a = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(both, 16), 16));
  b = _mm512_cvtepi32_ps(_mm512_srai_epi32(both, 16));
}
// Bytes: 32 bits from the sample on would reach behind the volume's end, so they come one by one.
template <class T>
FASTIMG_ATOM void pair_16_bytes(const T* v, __m512i at, __m512& a, __m512& b) {
  alignas(64) std::int32_t places[kLanes], first[kLanes], second[kLanes];
  _mm512_store_si512(places, at);
  for (int l = 0; l < kLanes; ++l) first[l] = v[places[l]], second[l] = v[places[l] + 1];
  a = _mm512_cvtepi32_ps(_mm512_load_si512(first));
  b = _mm512_cvtepi32_ps(_mm512_load_si512(second));
}
FASTIMG_ATOM void pair_16(const i8* v, __m512i at, __m512& a, __m512& b) { pair_16_bytes(v, at, a, b); }
FASTIMG_ATOM void pair_16(const u8* v, __m512i at, __m512& a, __m512& b) { pair_16_bytes(v, at, a, b); }
FASTIMG_ATOM void pair_16(const u16* v, __m512i at, __m512& a, __m512& b) {
  const __m512i both = _mm512_i32gather_epi32(at, v, 2);
  a = _mm512_cvtepi32_ps(_mm512_and_si512(both, _mm512_set1_epi32(0xffff)));
  b = _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 16));
}

struct Corners {  // z, y; v at x, w at x + 1
  __m512 v00, w00, v01, w01, v10, w10, v11, w11;
};

// Runs of lanes that stay in one cell of (z, y): each of the four rows beside it comes with one load, and its lanes are
// permuted out of it. A gather costs as much as four such runs. Whole blocks inside the volume only.
template <class T>
struct Runs {
  static constexpr int kSpan = sizeof(T) == 4 ? 16 : 32;  // samples a load

  // Lanes where a run must end so that its samples fit a load; 0xffff: runs are not worth it.
  static int splits(double step_x, double step_y, double step_z) {
    const double x = step_x < 0 ? -step_x : step_x, yz = (step_y < 0 ? -step_y : step_y) + (step_z < 0 ? -step_z : step_z);
    const int every = 15 * x + 2 <= kSpan ? 16 : 7 * x + 2 <= kSpan ? 8 : 3 * x + 2 <= kSpan ? 4 : 1;
    if (every == 1 || 16 / every + 15 * yz > 12) return 0xffff;
    return every == 16 ? 0 : every == 8 ? 0x0100 : 0x1110;
  }
};

// The end of run `s`, its lanes and its place: f(first lane, last lane, lanes' mask).
template <class F>
FASTIMG_ATOM void each_run(__m512i cell, int splits, F f) {
  const __m512i before = _mm512_alignr_epi32(cell, cell, 15);
  unsigned starts = (_mm512_cmpneq_epi32_mask(cell, before) | static_cast<unsigned>(splits)) & 0xfffeu;
  unsigned first = 0;
  for (;;) {
    const unsigned last = starts ? _tzcnt_u32(starts) : 16;
    f(first, last - 1, static_cast<__mmask16>((0xffffu >> (16 - last)) & (0xffffu << first)));
    if (last == 16) break;
    first = last;
    starts &= starts - 1;
  }
}

FASTIMG_ATOM Corners corners_runs(const float* v, __m512i x, __m512i cell, std::int64_t ny, std::int64_t nx, int splits) {
  alignas(64) std::int32_t xs[kLanes], cells[kLanes];
  _mm512_store_si512(xs, x);
  _mm512_store_si512(cells, cell);
  Corners c;
  c.v00 = c.w00 = c.v01 = c.w01 = c.v10 = c.w10 = c.v11 = c.w11 = _mm512_setzero_ps();
  const std::int64_t plane = ny * nx;
  each_run(cell, splits, [&](unsigned first, unsigned last, __mmask16 lanes) __attribute__((always_inline)) {
    const std::int32_t a = xs[first], b = xs[last], low = a < b ? a : b;
    const std::int32_t base = low < nx - 16 ? low : static_cast<std::int32_t>(nx - 16);
    const float* const at = v + cells[first] * nx + base;
    const __m512i rel = _mm512_sub_epi32(x, _mm512_set1_epi32(base));
    const __m512i next = _mm512_add_epi32(rel, _mm512_set1_epi32(1));
    __m512 row = _mm512_loadu_ps(at);
    c.v00 = _mm512_mask_permutexvar_ps(c.v00, lanes, rel, row);
    c.w00 = _mm512_mask_permutexvar_ps(c.w00, lanes, next, row);
    row = _mm512_loadu_ps(at + nx);
    c.v01 = _mm512_mask_permutexvar_ps(c.v01, lanes, rel, row);
    c.w01 = _mm512_mask_permutexvar_ps(c.w01, lanes, next, row);
    row = _mm512_loadu_ps(at + plane);
    c.v10 = _mm512_mask_permutexvar_ps(c.v10, lanes, rel, row);
    c.w10 = _mm512_mask_permutexvar_ps(c.w10, lanes, next, row);
    row = _mm512_loadu_ps(at + plane + nx);
    c.v11 = _mm512_mask_permutexvar_ps(c.v11, lanes, rel, row);
    c.w11 = _mm512_mask_permutexvar_ps(c.w11, lanes, next, row);
  });
  return c;
}

FASTIMG_ATOM __m512i words_32(const i16* v) { return _mm512_loadu_si512(v); }
FASTIMG_ATOM __m512i words_32(const u16* v) { return _mm512_loadu_si512(v); }
FASTIMG_ATOM __m512i words_32(const i8* v) {
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(v)));
}
FASTIMG_ATOM __m512i words_32(const u8* v) {
  return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(v)));
}
template <class T>
FASTIMG_ATOM void unpack_16(__m512i both, __m512& a, __m512& b) {
  if constexpr (static_cast<T>(-1) < T(0)) {
    a = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(both, 16), 16));
    b = _mm512_cvtepi32_ps(_mm512_srai_epi32(both, 16));
  } else {
    a = _mm512_cvtepi32_ps(_mm512_and_si512(both, _mm512_set1_epi32(0xffff)));
    b = _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 16));
  }
}

// As above; both neighbours along x come with one permutation of 16-bit words.
template <class T>
FASTIMG_ATOM Corners corners_runs(const T* v, __m512i x, __m512i cell, std::int64_t ny, std::int64_t nx, int splits) {
  alignas(64) std::int32_t xs[kLanes], cells[kLanes];
  _mm512_store_si512(xs, x);
  _mm512_store_si512(cells, cell);
  const std::int64_t plane = ny * nx;
  __m512i p00, p01, p10, p11;
  p00 = p01 = p10 = p11 = _mm512_setzero_si512();
  // the words x and x + 1 of each lane
  const __m512i pair =
      _mm512_add_epi32(_mm512_add_epi32(x, _mm512_slli_epi32(x, 16)), _mm512_set1_epi32(0x10000));
  each_run(cell, splits, [&](unsigned first, unsigned last, __mmask16 lanes) __attribute__((always_inline)) {
    const std::int32_t a = xs[first], b = xs[last], low = a < b ? a : b;
    const std::int32_t base = low < nx - 32 ? low : static_cast<std::int32_t>(nx - 32);
    const T* const at = v + cells[first] * nx + base;
    // words are taken modulo 32, so that a borrow between the halves does not matter where both are in range
    const __m512i rel = _mm512_sub_epi16(pair, _mm512_set1_epi16(static_cast<short>(base)));
    p00 = _mm512_mask_mov_epi32(p00, lanes, _mm512_permutexvar_epi16(rel, words_32(at)));
    p01 = _mm512_mask_mov_epi32(p01, lanes, _mm512_permutexvar_epi16(rel, words_32(at + nx)));
    p10 = _mm512_mask_mov_epi32(p10, lanes, _mm512_permutexvar_epi16(rel, words_32(at + plane)));
    p11 = _mm512_mask_mov_epi32(p11, lanes, _mm512_permutexvar_epi16(rel, words_32(at + plane + nx)));
  });
  Corners c;
  unpack_16<T>(p00, c.v00, c.w00);
  unpack_16<T>(p01, c.v01, c.w01);
  unpack_16<T>(p10, c.v10, c.w10);
  unpack_16<T>(p11, c.v11, c.w11);
  return c;
}

FASTIMG_ATOM __m512 taken_16(__m512 v, const fastimg::Intake<float>& t) {
  v = _mm512_add_ps(_mm512_mul_ps(v, _mm512_set1_ps(t.slope)), _mm512_set1_ps(t.intercept));
  // in this order NaN stays
  v = _mm512_max_ps(_mm512_set1_ps(t.low), v);
  return _mm512_min_ps(_mm512_set1_ps(t.high), v);
}

template <class T>
void linear_row_16(const void* in, const Affine& a, const Fused<float>& fused, std::int64_t k, std::int64_t j,
                   float* out, unsigned char* inside) {
  const std::int64_t nz = a.in[0], ny = a.in[1], nx = a.in[2];
  if (nx < 32 || nx >= 1 << 16 || nz * ny * nx >= std::int64_t{1} << 31)
    return interpolate_row<1, T, float>(in, a, fused, k, j, out, inside);
  const T* const v = static_cast<const T*>(in);
  const __m512i one = _mm512_set1_epi32(1), zero = _mm512_setzero_si512(),
                row = _mm512_set1_epi32(static_cast<int>(nx));
  const __m512i high = _mm512_set1_epi32(static_cast<int>(ny)), last = _mm512_set1_epi32(static_cast<int>(nx - 2));
  const __m512 way_z = way_16(a.m[2]), way_y = way_16(a.m[6]), way_x = way_16(a.m[10]);
  const int splits = Runs<T>::splits(a.m[10], a.m[6], a.m[2]);
  // a block whose first and last lane lie this far inside has all samples and their neighbours in the volume
  const auto deep = [](int first, int last_, std::int64_t n) {
    return first >= 0 && last_ >= 0 && first < n - 1 && last_ < n - 1;
  };
  const auto ends = [](__m512i index, int& first, int& last_) __attribute__((always_inline)) {
    first = _mm_cvtsi128_si32(_mm512_castsi512_si128(index));
    last_ = _mm_extract_epi32(_mm512_extracti32x4_epi32(index, 3), 3);
  };
  for (std::int64_t i = 0; i < a.out[2]; i += kLanes) {
    BlockStart start;
    start.set(a.m, k, j, i);
    const Line16 z = line_16(start, 0, way_z), y = line_16(start, 1, way_y), x = line_16(start, 2, way_x);
    const __mmask16 mz = _mm512_cmp_ps_mask(z.rest, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    const __mmask16 my = _mm512_cmp_ps_mask(y.rest, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    const __mmask16 mx = _mm512_cmp_ps_mask(x.rest, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    int z_first, z_last, y_first, y_last, x_first, x_last;
    ends(z.index, z_first, z_last);
    ends(y.index, y_first, y_last);
    ends(x.index, x_first, x_last);
    Corners c;
    __mmask16 below = 0, above = 0;
    if (splits != 0xffff && deep(z_first, z_last, nz) && deep(y_first, y_last, ny) && deep(x_first, x_last, nx)) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(inside + i), _mm_set1_epi8(1));
      c = corners_runs(v, x.index, _mm512_add_epi32(_mm512_mullo_epi32(z.index, high), y.index), ny, nx, splits);
    } else {
      const __mmask16 hit = a.edge ? static_cast<__mmask16>(0xffff)
                                   : static_cast<__mmask16>(inside_16(z, nz) & inside_16(y, ny) & inside_16(x, nx));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(inside + i), _mm_maskz_set1_epi8(hit, 1));
      if (!hit) continue;
      const __m512i z0 = _mm512_mullo_epi32(clamped_16(z.index, nz - 1), high);
      const __m512i z1 = _mm512_mullo_epi32(clamped_16(_mm512_add_epi32(z.index, one), nz - 1), high);
      const __m512i y0 = clamped_16(y.index, ny - 1), y1 = clamped_16(_mm512_add_epi32(y.index, one), ny - 1);
      const __m512i x0 = clamped_16(x.index, nx - 2);
      const auto at = [&](__m512i zs, __m512i ys) {
        return _mm512_add_epi32(_mm512_mullo_epi32(_mm512_add_epi32(zs, ys), row), x0);
      };
      pair_16(v, at(z0, y0), c.v00, c.w00);
      pair_16(v, at(z0, y1), c.v01, c.w01);
      pair_16(v, at(z1, y0), c.v10, c.w10);
      pair_16(v, at(z1, y1), c.v11, c.w11);
      below = _mm512_cmplt_epi32_mask(x.index, zero), above = _mm512_cmpgt_epi32_mask(x.index, last);
    }
    if (fused.intake.on)
      for (__m512* corner : {&c.v00, &c.w00, &c.v01, &c.w01, &c.v10, &c.w10, &c.v11, &c.w11})
        *corner = taken_16(*corner, fused.intake);
    const __m512 left = lerp_16(lerp_16(c.v00, c.v10, z.rest, mz), lerp_16(c.v01, c.v11, z.rest, mz), y.rest, my);
    const __m512 right = lerp_16(lerp_16(c.w00, c.w10, z.rest, mz), lerp_16(c.w01, c.w11, z.rest, mz), y.rest, my);
    const __m512 first = _mm512_mask_mov_ps(left, above, right), second = _mm512_mask_mov_ps(right, below, left);
    _mm512_storeu_ps(out + i, lerp_16(first, second, x.rest, mx));
  }
}
#else
template <class T>
void linear_row_16(const void* in, const Affine& a, const Fused<float>& fused, std::int64_t k, std::int64_t j,
                   float* out, unsigned char* inside) {
  interpolate_row<1, T, float>(in, a, fused, k, j, out, inside);
}
#endif

template <int D, class C>
void spline_row(const C* in, const Affine& a, std::int64_t k, std::int64_t j, C* out, unsigned char* inside) {
  interpolate_row<D, C, C>(in, a, Fused<C>(), k, j, out, inside);
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
      place[i + l] =
          !b.inside(a, l)
              ? -1
              : (static_cast<std::int64_t>(near(b.z, l, a.in[0])) * a.in[1] + near(b.y, l, a.in[1])) * a.in[2] +
                    near(b.x, l, a.in[2]);
  }
}

}  // namespace

extern const ObliqueTable<float> float_oblique;
extern const ObliqueTable<double> double_oblique;
#define FASTIMG_SPLINES(C) {nullptr, nullptr, spline_row<2, C>, spline_row<3, C>, spline_row<4, C>, spline_row<5, C>}
const ObliqueTable<float> float_oblique = {
    {linear_row_16<i8>, linear_row_16<u8>, linear_row_16<i16>, linear_row_16<u16>, nullptr,
     nullptr, nullptr, nullptr, linear_row_16<float>, nullptr},
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
