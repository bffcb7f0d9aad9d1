// Samples of linear rows with AVX-512, by masked loads; included by linear_loop.hpp.
namespace fastimg::resampling::FASTIMG_LEVEL {
namespace {

// From memory: GCC would widen all of them in registers and take them out one by one.
FASTIMG_ATOM std::int64_t place_at(const std::int32_t* at, int l) {
  return *static_cast<const volatile std::int32_t*>(at + l);
}

// A load that reaches every lane and a mask that keeps one: half a cycle each of two ports.
FASTIMG_ATOM __m512i eight_at(const float* v, const std::int32_t* at) {
  __m512i all = _mm512_setzero_si512();
  for (int l = 0; l < 8; ++l)
    all = _mm512_mask_broadcastq_epi64(all, static_cast<__mmask8>(1 << l),
                                       _mm_loadl_epi64(reinterpret_cast<const __m128i*>(v + place_at(at, l))));
  return all;
}
FASTIMG_ATOM void words_16(const float* v, const std::int32_t* at, float* to) {
  _mm512_store_si512(to, eight_at(v, at));
  _mm512_store_si512(to + kLanes, eight_at(v, at + 8));
}
template <class T>
FASTIMG_ATOM void words_16(const T* v, const std::int32_t* at, std::uint32_t* to) {
  if constexpr (sizeof(T) == 1) return words_at(v, at, to);
  __m512i low = _mm512_setzero_si512(), high = low;  // two chains
  for (int l = 0; l < 8; ++l) {
    low = _mm512_mask_broadcastd_epi32(low, static_cast<__mmask16>(1 << l), _mm_loadu_si32(v + place_at(at, l)));
    high =
        _mm512_mask_broadcastd_epi32(high, static_cast<__mmask16>(256 << l), _mm_loadu_si32(v + place_at(at, l + 8)));
  }
  _mm512_store_si512(to, _mm512_or_si512(low, high));
}

// The same of four rows, `v[r]` being where each begins: a place is read once for all of them. Up to the place `last`
// four bytes may be read in all rows.
FASTIMG_ATOM void rows_16(const float* const* v, const std::int32_t* at, std::int64_t o, std::int64_t,
                          Pairs<float>& to) {
  for (int half = 0; half < 2; ++half) {
    __m512i all[4] = {};
    for (int l = 0; l < 8; ++l) {
      const std::int64_t place = place_at(at, 8 * half + l);
      for (int r = 0; r < 4; ++r)
        all[r] = _mm512_mask_broadcastq_epi64(all[r], static_cast<__mmask8>(1 << l),
                                              _mm_loadl_epi64(reinterpret_cast<const __m128i*>(v[r] + place)));
    }
    for (int r = 0; r < 4; ++r) _mm512_store_si512(to.row[r] + 2 * o + kLanes * half, all[r]);
  }
}
template <class T>
FASTIMG_ATOM void rows_16(const T* const* v, const std::int32_t* at, std::int64_t o, std::int64_t last, Pairs<T>& to) {
  const __m512i bound = _mm512_set1_epi32(static_cast<int>(last));
  if (sizeof(T) == 1 && _mm512_cmpgt_epi32_mask(_mm512_load_si512(at), bound)) {
    for (int r = 0; r < 4; ++r) words_at(v[r], at, to.row[r] + o);
  } else {
    // eight at a time: there are seven masks, and a register of 256 bits takes three ports instead of two
    for (int half = 0; half < 2; ++half) {
      __m256i all[4];
      for (int l = 0; l < 8; ++l) {
        const std::int64_t place = place_at(at, 8 * half + l);
        for (int r = 0; r < 4; ++r) {
          const __m128i one = _mm_loadu_si32(v[r] + place);
          all[r] = l ? _mm256_mask_broadcastd_epi32(all[r], static_cast<__mmask8>(1 << l), one)
                     : _mm256_zextsi128_si256(one);
        }
      }
      for (int r = 0; r < 4; ++r) _mm256_store_si256(reinterpret_cast<__m256i*>(to.row[r] + o + 8 * half), all[r]);
    }
  }
}

}  // namespace
}  // namespace fastimg::resampling::FASTIMG_LEVEL
