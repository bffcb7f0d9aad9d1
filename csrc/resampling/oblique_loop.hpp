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
void interpolate_row(const void* in, const Affine& a, std::int64_t k, std::int64_t j, C* out, unsigned char* inside) {
  const T* const v = static_cast<const T*>(in);
  const fastimg::Box n = {a.in[0], a.in[1], a.in[2]};
  Block<C> b;
  for (std::int64_t i = 0; i < a.out[2]; i += kLanes) {
    b.set(a, k, j, i);
    const int lanes = a.out[2] - i < kLanes ? static_cast<int>(a.out[2] - i) : kLanes;
    for (int l = 0; l < lanes; ++l) {
      inside[i + l] = b.inside(a, l);
      if (inside[i + l])
        out[i + l] = fastimg::sample_at<D, C>(v, n, b.z.index[l], b.y.index[l], b.x.index[l], b.z.rest[l], b.y.rest[l],
                                              b.x.rest[l]);
    }
  }
}

#ifdef FASTIMG_AVX512
// The 16 points of a block in one register an axis; two neighbours along x come with one gather where they fit 32 bits.
struct Line16 {
  __m512i index;
  __m512 rest;
};

FASTIMG_ATOM Line16 line_16(const double* m, std::int64_t k, std::int64_t j, std::int64_t i) {
  const auto start =
      fastimg::block_start<float>(m, static_cast<double>(k), static_cast<double>(j), static_cast<double>(i));
  const __m512 lanes = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512 way = _mm512_mul_ps(lanes, _mm512_set1_ps(static_cast<float>(m[2])));
  const __m512 q = _mm512_add_ps(_mm512_set1_ps(start.offset), way);
  const __m512 whole = _mm512_roundscale_ps(q, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  return {_mm512_add_epi32(_mm512_set1_epi32(start.index), _mm512_cvttps_epi32(whole)), _mm512_sub_ps(q, whole)};
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
FASTIMG_ATOM void pair_16(const u16* v, __m512i at, __m512& a, __m512& b) {
  const __m512i both = _mm512_i32gather_epi32(at, v, 2);
  a = _mm512_cvtepi32_ps(_mm512_and_si512(both, _mm512_set1_epi32(0xffff)));
  b = _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 16));
}

template <class T>
void linear_row_16(const void* in, const Affine& a, std::int64_t k, std::int64_t j, float* out, unsigned char* inside) {
  const std::int64_t nz = a.in[0], ny = a.in[1], nx = a.in[2];
  if (nx < 2 || nz * ny * nx >= std::int64_t{1} << 31) return interpolate_row<1, T, float>(in, a, k, j, out, inside);
  const T* const v = static_cast<const T*>(in);
  const __m512i one = _mm512_set1_epi32(1), zero = _mm512_setzero_si512(),
                row = _mm512_set1_epi32(static_cast<int>(nx));
  const __m512i high = _mm512_set1_epi32(static_cast<int>(ny)), last = _mm512_set1_epi32(static_cast<int>(nx - 2));
  for (std::int64_t i = 0; i < a.out[2]; i += kLanes) {
    const Line16 z = line_16(a.m, k, j, i), y = line_16(a.m + 4, k, j, i), x = line_16(a.m + 8, k, j, i);
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
    __m512 v00, w00, v01, w01, v10, w10, v11, w11;  // z, y; v at x, w at x + 1
    pair_16(v, at(z0, y0), v00, w00);
    pair_16(v, at(z0, y1), v01, w01);
    pair_16(v, at(z1, y0), v10, w10);
    pair_16(v, at(z1, y1), v11, w11);
    const __mmask16 below = _mm512_cmplt_epi32_mask(x.index, zero), above = _mm512_cmpgt_epi32_mask(x.index, last);
    const __mmask16 mz = _mm512_cmp_ps_mask(z.rest, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    const __mmask16 my = _mm512_cmp_ps_mask(y.rest, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    const __mmask16 mx = _mm512_cmp_ps_mask(x.rest, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    const __m512 left = lerp_16(lerp_16(v00, v10, z.rest, mz), lerp_16(v01, v11, z.rest, mz), y.rest, my);
    const __m512 right = lerp_16(lerp_16(w00, w10, z.rest, mz), lerp_16(w01, w11, z.rest, mz), y.rest, my);
    const __m512 first = _mm512_mask_mov_ps(left, above, right), second = _mm512_mask_mov_ps(right, below, left);
    _mm512_storeu_ps(out + i, lerp_16(first, second, x.rest, mx));
  }
}
#else
template <class T>
void linear_row_16(const void* in, const Affine& a, std::int64_t k, std::int64_t j, float* out, unsigned char* inside) {
  interpolate_row<1, T, float>(in, a, k, j, out, inside);
}
#endif

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
    {interpolate_row<1, i8, float>, interpolate_row<1, u8, float>, linear_row_16<i16>, linear_row_16<u16>, nullptr,
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
