// Included once in each level's region: no include guard, no standard header.
#include "cpu/weighted_rows.hpp"
#include "fastimg/interpolate.cuh"

namespace fastimg::resampling::FASTIMG_LEVEL {
namespace {

using cpu::FASTIMG_LEVEL::sum_rows;

template <class T, class C>
void load(const void* from, C* __restrict out, std::int64_t n) {
  const T* __restrict a = static_cast<const T*>(from);
  for (std::int64_t i = 0; i < n; ++i) out[i] = static_cast<C>(a[i]);
}

template <class T, class C>
void load_lerp(const void* from, const void* to, C w, C* __restrict out, std::int64_t n) {
  const T* __restrict a = static_cast<const T*>(from);
  const T* __restrict b = static_cast<const T*>(to);
  if (w == C(0)) return load<T, C>(from, out, n);
  for (std::int64_t i = 0; i < n; ++i) out[i] = fastimg::lerp(static_cast<C>(a[i]), static_cast<C>(b[i]), w);
}

template <class T, class C>
void load_sum(const void* const* rows, const C* weights, int taps, C* out, std::int64_t n) {
  sum_rows<T, C>(reinterpret_cast<const T* const*>(rows), weights, taps, out, n);
}

template <class C>
void lerp_rows(const C* a, const C* b, C w, C* out, std::int64_t n) {
  load_lerp<C, C>(a, b, w, out, n);
}

template <class C>
void across_any(const C* __restrict row, const Across<C>& x, C* __restrict out) {
  const std::int64_t padded = x.blocks * kBlock;
  const std::int32_t* __restrict first = x.first.get();
  const std::int32_t* __restrict second = x.second.get();
  const C* __restrict weight = x.weight.get();
  if (x.linear) {
    for (std::int64_t i = 0; i < padded; ++i) out[i] = fastimg::lerp(row[first[i]], row[second[i]], weight[i]);
    return;
  }
  for (std::int64_t i = 0; i < padded; ++i) out[i] = weight[i] * row[first[i]];
  for (int t = 1; t < x.taps; ++t) {
    const C* __restrict w = weight + t * padded;
    for (std::int64_t i = 0; i < padded; ++i) out[i] = fastimg::weigh(out[i], w[i], row[first[i] + t]);
  }
}

#ifdef FASTIMG_AVX512
// A block's samples stand in two registers: each tap is one permutation of both.
template <bool linear>
FASTIMG_ATOM __m512 block_narrow(const float* from, const std::int32_t* rel, const std::int32_t* next,
                                 const float* weight, std::int64_t padded, int taps) {
  const __m512 low = _mm512_loadu_ps(from), high = _mm512_loadu_ps(from + 16);
  __m512i place = _mm512_load_si512(rel);
  __m512 w = _mm512_load_ps(weight);
  __m512 v = _mm512_permutex2var_ps(low, place, high);
  if (linear) {
    const __m512 other = _mm512_permutex2var_ps(low, _mm512_load_si512(next), high);
    const __mmask16 between = _mm512_cmp_ps_mask(w, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    return _mm512_mask_add_ps(v, between, v, _mm512_mul_ps(w, _mm512_sub_ps(other, v)));
  }
  v = _mm512_mul_ps(w, v);
  for (int t = 1; t < taps; ++t) {
    place = _mm512_add_epi32(place, _mm512_set1_epi32(1));
    w = _mm512_load_ps(weight + t * padded);
    v = _mm512_add_ps(v, _mm512_mul_ps(w, _mm512_permutex2var_ps(low, place, high)));
  }
  return v;
}

// put(o, v) for the blocks [begin, end): v are outputs o to o + 15.
template <bool linear, class Put>
FASTIMG_ATOM void blocks_narrow(const float* row, const Across<float>& x, std::int64_t begin, std::int64_t end,
                                Put put) {
  const std::int32_t *const base = x.base.data(), *const rel = x.rel.get(), *const next = x.next.get();
  const float* const weight = x.weight.get();
  const std::int64_t padded = x.blocks * kBlock;
  const int taps = x.taps;
  for (std::int64_t b = begin; b < end; ++b) {
    const std::int64_t o = b * kBlock;
    put(o, block_narrow<linear>(row + base[b], rel + o, next + o, weight + o, padded, taps));
  }
}

void across_narrow(const float* row, const Across<float>& x, float* out) {
  const auto put = [out](std::int64_t o, __m512 v) { _mm512_storeu_ps(out + o, v); };
  if (x.linear)
    blocks_narrow<true>(row, x, 0, x.blocks, put);
  else
    blocks_narrow<false>(row, x, 0, x.blocks, put);
}

// As Store<false, T>, 16 at once: sums of voxels of 16 bits stay below 2^31, so rounding may come before saturation.
FASTIMG_ATOM void put_16(float* to, __m512 v) { _mm512_storeu_ps(to, v); }
FASTIMG_ATOM void put_16(i16* to, __m512 v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(v)));
}
FASTIMG_ATOM void put_16(u16* to, __m512 v) {
  const __m512i whole = _mm512_max_epi32(_mm512_cvtps_epi32(v), _mm512_setzero_si512());
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtusepi32_epi16(whole));
}
FASTIMG_ATOM void put_16(i8* to, __m512 v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v)));
}
FASTIMG_ATOM void put_16(u8* to, __m512 v) {
  const __m512i whole = _mm512_max_epi32(_mm512_cvtps_epi32(v), _mm512_setzero_si512());
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtusepi32_epi8(whole));
}
#endif

void across_float(const float* row, const Across<float>& x, float* out) {
#ifdef FASTIMG_AVX512
  if (x.narrow) return across_narrow(row, x, out);
#endif
  across_any(row, x, out);
}
void across_double(const double* row, const Across<double>& x, double* out) { across_any(row, x, out); }

template <bool truncate, class T, class C>
void store(const C* __restrict row, void* to, std::int64_t n) {
  T* __restrict out = static_cast<T*>(to);
  for (std::int64_t i = 0; i < n; ++i) out[i] = fastimg::Store<truncate, T>::from(row[i]);
}

// w is not 0.
template <bool truncate, class T, class C>
void lerp_store(const C* __restrict a, const C* __restrict b, C w, void* to, std::int64_t n) {
  T* __restrict out = static_cast<T*>(to);
  std::int64_t i = 0;
#ifdef FASTIMG_AVX512
  if constexpr (!truncate && sizeof(C) == 4 && sizeof(T) <= 4) {
    const __m512 ws = _mm512_set1_ps(w);
    for (; i + kBlock <= n; i += kBlock) {
      const __m512 v = _mm512_loadu_ps(a + i);
      put_16(out + i, _mm512_add_ps(v, _mm512_mul_ps(ws, _mm512_sub_ps(_mm512_loadu_ps(b + i), v))));
    }
  }
#endif
  for (; i < n; ++i) out[i] = fastimg::Store<truncate, T>::from(fastimg::lerp(a[i], b[i], w));
}

template <class C>
void intake_row(C* row, const fastimg::Intake<C>& intake, std::int64_t n) {
  const fastimg::Intake<C> t = intake;
  for (std::int64_t i = 0; i < n; ++i) row[i] = fastimg::taken(row[i], t);
}
template <class C>
void finish_row(C* row, const fastimg::Finish<C>& finish, std::int64_t n) {
  const fastimg::Finish<C> f = finish;
  for (std::int64_t i = 0; i < n; ++i) row[i] = fastimg::finished(row[i], f);
}

}  // namespace

extern const RowTable<float> float_rows;
extern const RowTable<double> double_rows;

// Voxels of 8 and 16 bits and float32: float holds them exactly.
#define FASTIMG_SMALL(f, ...)   \
  {f<__VA_ARGS__ i8, float>,    \
   f<__VA_ARGS__ u8, float>,    \
   f<__VA_ARGS__ i16, float>,   \
   f<__VA_ARGS__ u16, float>,   \
   nullptr,                     \
   nullptr,                     \
   nullptr,                     \
   nullptr,                     \
   f<__VA_ARGS__ float, float>, \
   nullptr}
#define FASTIMG_ALL(f, ...)                                                                                            \
  {f<__VA_ARGS__ i8, double>,    f<__VA_ARGS__ u8, double>,    f<__VA_ARGS__ i16, double>, f<__VA_ARGS__ u16, double>, \
   f<__VA_ARGS__ i32, double>,   f<__VA_ARGS__ u32, double>,   f<__VA_ARGS__ i64, double>, f<__VA_ARGS__ u64, double>, \
   f<__VA_ARGS__ float, double>, f<__VA_ARGS__ double, double>}
const RowTable<float> float_rows = {FASTIMG_SMALL(load),
                                    FASTIMG_SMALL(load_lerp),
                                    FASTIMG_SMALL(load_sum),
                                    intake_row<float>,
                                    finish_row<float>,
                                    lerp_rows<float>,
                                    sum_rows<float, float>,
                                    across_float,
                                    {FASTIMG_SMALL(store, false, ), FASTIMG_SMALL(store, true, )},
                                    {FASTIMG_SMALL(lerp_store, false, ), FASTIMG_SMALL(lerp_store, true, )}};
const RowTable<double> double_rows = {FASTIMG_ALL(load),
                                      FASTIMG_ALL(load_lerp),
                                      FASTIMG_ALL(load_sum),
                                      intake_row<double>,
                                      finish_row<double>,
                                      lerp_rows<double>,
                                      sum_rows<double, double>,
                                      across_double,
                                      {FASTIMG_ALL(store, false, ), FASTIMG_ALL(store, true, )},
                                      {FASTIMG_ALL(lerp_store, false, ), FASTIMG_ALL(lerp_store, true, )}};
#undef FASTIMG_SMALL
#undef FASTIMG_ALL

}  // namespace fastimg::resampling::FASTIMG_LEVEL
