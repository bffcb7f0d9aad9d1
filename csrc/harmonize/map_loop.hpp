// Included once in each level's region: no include guard, no standard header.
#include "fastimg/affine.cuh"
#include "fastimg/piecewise.cuh"

namespace fastimg::harmonize::FASTIMG_LEVEL {
namespace {

template <class T>
void affine_row(const T* __restrict in, float* __restrict out, std::int64_t count, float shift, float scale) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = fastimg::affine(static_cast<float>(in[i]), shift, scale);
}

#ifdef FASTIMG_AVX512
// Up to 16 knots stand in registers, where a permutation looks 16 voxels up at once. x has room for whole registers.
void few_knots(const float* x, float* out, int count, const Knots& knots) {
  const auto real = static_cast<__mmask16>((1u << knots.count) - 1);
  const __m512 knot = _mm512_maskz_loadu_ps(real, knots.knot), level = _mm512_maskz_loadu_ps(real, knots.level);
  const __m512 slope = _mm512_maskz_loadu_ps(real, knots.slope);
  for (int i = 0; i < count; i += 16) {
    const __m512 v = _mm512_load_ps(x + i);
    __m512i segment = _mm512_setzero_si512();
    for (int step = knots.count / 2; step > 0; step /= 2) {
      const __m512i next = _mm512_add_epi32(segment, _mm512_set1_epi32(step));
      segment =
          _mm512_mask_mov_epi32(segment, _mm512_cmp_ps_mask(v, _mm512_permutexvar_ps(next, knot), _CMP_GE_OQ), next);
    }
    const __m512 apart = _mm512_sub_ps(v, _mm512_permutexvar_ps(segment, knot));
    const __m512 rise = _mm512_mul_ps(apart, _mm512_permutexvar_ps(segment, slope));
    const __m512 y = _mm512_add_ps(_mm512_permutexvar_ps(segment, level), rise);
    const int left = count - i;
    _mm512_mask_storeu_ps(out + i, static_cast<__mmask16>(left < 16 ? (1u << left) - 1 : 0xffffu), y);
  }
}
#endif

// The atom's search with the loops exchanged, so that voxels go side by side in a register; where knots are few, by
// counting those that are not above x, which is the same number.
template <class T>
void piecewise_row(const T* __restrict in, float* __restrict out, std::int64_t count, const Knots& knots) {
  constexpr int kBlock = 512;
  alignas(64) float x[kBlock];
  alignas(64) int segment[kBlock];
  const float *const knot = knots.knot, *const level = knots.level, *const slope = knots.slope;
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const int n = static_cast<int>(count - begin < kBlock ? count - begin : kBlock);
    for (int i = 0; i < n; ++i) x[i] = static_cast<float>(in[begin + i]);
#ifdef FASTIMG_AVX512
    if (knots.count <= 16) {
      few_knots(x, out + begin, n, knots);
      continue;
    }
#endif
    if (knots.count <= 16) {
      for (int i = 0; i < n; ++i) segment[i] = 0;
      for (int k = 1; k < knots.count; ++k) {
        const float border = knot[k];
        for (int i = 0; i < n; ++i) segment[i] += x[i] >= border ? 1 : 0;
      }
    } else {
      for (int i = 0; i < n; ++i) segment[i] = 0;
      for (int step = knots.count / 2; step > 0; step /= 2)
        for (int i = 0; i < n; ++i) {
          const int next = segment[i] + step;
          segment[i] = x[i] >= knot[next] ? next : segment[i];
        }
    }
    float* const to = out + begin;
    for (int i = 0; i < n; ++i) {
      const int k = segment[i];
      to[i] = fastimg::on_segment(x[i], knot[k], level[k], slope[k]);
    }
  }
}

}  // namespace

extern const MapTable map_table;
const MapTable map_table = {
#define FASTIMG_FIELD(T, name) affine_row<T>, piecewise_row<T>,
    FASTIMG_EACH_MAPPED(FASTIMG_FIELD)
#undef FASTIMG_FIELD
};

}  // namespace fastimg::harmonize::FASTIMG_LEVEL
