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
  const std::int32_t* __restrict first = &x.first[0];
  const std::int32_t* __restrict second = &x.second[0];
  const C* __restrict weight = &x.weight[0];
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
void across_narrow(const float* row, const Across<float>& x, float* out) {
  const std::int64_t padded = x.blocks * kBlock;
  for (std::int64_t b = 0; b < x.blocks; ++b) {
    const std::int64_t o = b * kBlock;
    const float* const from = row + x.base[b];
    const __m512 low = _mm512_loadu_ps(from), high = _mm512_loadu_ps(from + 16);
    __m512i place = _mm512_loadu_si512(&x.rel[o]);
    __m512 w = _mm512_loadu_ps(&x.weight[o]);
    __m512 v = _mm512_permutex2var_ps(low, place, high);
    if (x.linear) {
      const __m512 next = _mm512_permutex2var_ps(low, _mm512_loadu_si512(&x.next[o]), high);
      const __mmask16 between = _mm512_cmp_ps_mask(w, _mm512_setzero_ps(), _CMP_NEQ_UQ);
      v = _mm512_mask_add_ps(v, between, v, _mm512_mul_ps(w, _mm512_sub_ps(next, v)));
    } else {
      v = _mm512_mul_ps(w, v);
      for (int t = 1; t < x.taps; ++t) {
        place = _mm512_add_epi32(place, _mm512_set1_epi32(1));
        w = _mm512_loadu_ps(&x.weight[t * padded + o]);
        v = _mm512_add_ps(v, _mm512_mul_ps(w, _mm512_permutex2var_ps(low, place, high)));
      }
    }
    _mm512_storeu_ps(out + o, v);
  }
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

}  // namespace

extern const RowTable<float> float_rows;
extern const RowTable<double> double_rows;

// Voxels of 8 and 16 bits and float32: float holds them exactly.
#define FASTIMG_SMALL(f, ...) \
  { f<__VA_ARGS__ i8, float>, f<__VA_ARGS__ u8, float>, f<__VA_ARGS__ i16, float>, f<__VA_ARGS__ u16, float>, \
    nullptr, nullptr, nullptr, nullptr, f<__VA_ARGS__ float, float>, nullptr }
#define FASTIMG_ALL(f, ...) \
  { f<__VA_ARGS__ i8, double>, f<__VA_ARGS__ u8, double>, f<__VA_ARGS__ i16, double>, f<__VA_ARGS__ u16, double>, \
    f<__VA_ARGS__ i32, double>, f<__VA_ARGS__ u32, double>, f<__VA_ARGS__ i64, double>, f<__VA_ARGS__ u64, double>, \
    f<__VA_ARGS__ float, double>, f<__VA_ARGS__ double, double> }
const RowTable<float> float_rows = {
    FASTIMG_SMALL(load), FASTIMG_SMALL(load_lerp), FASTIMG_SMALL(load_sum), lerp_rows<float>, sum_rows<float, float>,
    across_float, {FASTIMG_SMALL(store, false,), FASTIMG_SMALL(store, true,)}};
const RowTable<double> double_rows = {
    FASTIMG_ALL(load), FASTIMG_ALL(load_lerp), FASTIMG_ALL(load_sum), lerp_rows<double>, sum_rows<double, double>,
    across_double, {FASTIMG_ALL(store, false,), FASTIMG_ALL(store, true,)}};
#undef FASTIMG_SMALL
#undef FASTIMG_ALL

}  // namespace fastimg::resampling::FASTIMG_LEVEL
