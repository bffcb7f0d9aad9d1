// Included once in each level's region: no include guard, no standard header.
#include "fastimg/affine.cuh"
#include "fastimg/piecewise.cuh"

namespace fastimg::harmonize::FASTIMG_LEVEL {
namespace {

template <class T>
void affine_row(const T* __restrict in, float* __restrict out, std::int64_t count, float shift, float scale) {
  for (std::int64_t i = 0; i < count; ++i) out[i] = fastimg::affine(static_cast<float>(in[i]), shift, scale);
}

constexpr int kMapBlock = 512;

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

__m512 looked_up(const float* table, __m512i at) { return _mm512_i32gather_ps(at, table, 4); }

void many_knots(const float* x, float* out, int count, const Knots& knots, const Buckets& buckets) {
  const __m512 low = _mm512_set1_ps(buckets.low), scale = _mm512_set1_ps(buckets.scale);
  const __m512 last = _mm512_set1_ps(buckets.last), zero = _mm512_setzero_ps();
  const __m512i most = _mm512_set1_epi32(knots.count - 1);
  for (int i = 0; i < count; i += 16) {
    const __m512 v = _mm512_load_ps(x + i);
    const __m512 place = _mm512_mul_ps(_mm512_sub_ps(v, low), scale);  // the second operand stands for NaN
    const __m512i bucket = _mm512_cvttps_epi32(_mm512_min_ps(_mm512_max_ps(place, zero), last));
    __m512i segment = _mm512_i32gather_epi32(bucket, buckets.start, 4);
    for (int step = buckets.step; step > 0; step /= 2) {
      const __m512i next = _mm512_add_epi32(segment, _mm512_set1_epi32(step));
      segment = _mm512_mask_mov_epi32(segment, _mm512_cmp_ps_mask(v, looked_up(buckets.knot, next), _CMP_GE_OQ), next);
    }
    segment = _mm512_min_epi32(segment, most);
    const __m512 apart = _mm512_sub_ps(v, looked_up(knots.knot, segment));
    const __m512 y =
        _mm512_add_ps(looked_up(knots.level, segment), _mm512_mul_ps(apart, looked_up(knots.slope, segment)));
    const int left = count - i;
    _mm512_mask_storeu_ps(out + i, static_cast<__mmask16>(left < 16 ? (1u << left) - 1 : 0xffffu), y);
  }
}
#else
void on_segments(const float* __restrict x, const std::int32_t* __restrict segment, float* __restrict out, int count,
                 const Knots& knots) {
  const float *const knot = knots.knot, *const level = knots.level, *const slope = knots.slope;
  for (int i = 0; i < count; ++i) {
    const std::int32_t k = segment[i];
    out[i] = fastimg::on_segment(x[i], knot[k], level[k], slope[k]);
  }
}

// The segment is the number of knots, but for the first, that are not above x.
void few_knots(const float* __restrict x, float* __restrict out, int count, const Knots& knots) {
  std::int32_t segment[kMapBlock] = {};
  for (int k = 1; k < knots.count; ++k) {
    const float border = knots.knot[k];
    for (int i = 0; i < count; ++i) segment[i] += x[i] >= border ? 1 : 0;
  }
  on_segments(x, segment, out, count, knots);
}

// The atom's search with the loops exchanged, so that voxels go side by side in a register, begun at the bucket's
// place.
void many_knots(const float* __restrict x, float* __restrict out, int count, const Knots& knots,
                const Buckets& buckets) {
  std::int32_t segment[kMapBlock];
  const float low = buckets.low, scale = buckets.scale, last = buckets.last;
  const float* const __restrict knot = buckets.knot;
  const std::int32_t* const __restrict start = buckets.start;
  for (int i = 0; i < count; ++i) {
    const float place = (x[i] - low) * scale, above = place > 0.0f ? place : 0.0f;
    segment[i] = start[static_cast<std::int32_t>(above < last ? above : last)];
  }
  for (int step = buckets.step; step > 0; step /= 2)
    for (int i = 0; i < count; ++i) {
      const std::int32_t next = segment[i] + step;
      segment[i] = x[i] >= knot[next] ? next : segment[i];
    }
  const std::int32_t most = knots.count - 1;
  for (int i = 0; i < count; ++i) segment[i] = segment[i] < most ? segment[i] : most;
  on_segments(x, segment, out, count, knots);
}
#endif

template <class T>
void piecewise_row(const T* __restrict in, float* __restrict out, std::int64_t count, const Knots& knots,
                   const Buckets& buckets) {
  alignas(64) float x[kMapBlock];
  for (std::int64_t begin = 0; begin < count; begin += kMapBlock) {
    const int n = static_cast<int>(count - begin < kMapBlock ? count - begin : kMapBlock);
    for (int i = 0; i < n; ++i) x[i] = static_cast<float>(in[begin + i]);
    knots.count <= 16 ? few_knots(x, out + begin, n, knots) : many_knots(x, out + begin, n, knots, buckets);
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
