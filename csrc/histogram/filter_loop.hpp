// Included once in each level's region: no include guard, no standard header.

namespace fastimg::histogram::FASTIMG_LEVEL {
namespace {

#if defined(FASTIMG_AVX512)

// The few instructions by which float and double differ. A bit of a mask stands for a value.
struct Floats {
  typedef float T;
  typedef __m512 Register;
  typedef __mmask16 Mask;
  static constexpr int kLanes = 16;
  static inline Register all(float x) { return _mm512_set1_ps(x); }
  static inline Register load(Mask real, const float* x) { return _mm512_maskz_loadu_ps(real, x); }
  static inline Mask reaches(Mask real, Register x, Register e) { return _mm512_mask_cmp_ps_mask(real, x, e, 29); }
  static inline __m512i add(__m512i n, Mask m) { return _mm512_mask_sub_epi32(n, m, n, _mm512_set1_epi32(-1)); }
  static inline std::int64_t total(__m512i n) { return _mm512_reduce_add_epi32(n); }
  static inline void append(float* to, Mask m, Register x) { _mm512_storeu_ps(to, _mm512_maskz_compress_ps(m, x)); }
};
struct Doubles {
  typedef double T;
  typedef __m512d Register;
  typedef __mmask8 Mask;
  static constexpr int kLanes = 8;
  static inline Register all(double x) { return _mm512_set1_pd(x); }
  static inline Register load(Mask real, const double* x) { return _mm512_maskz_loadu_pd(real, x); }
  static inline Mask reaches(Mask real, Register x, Register e) { return _mm512_mask_cmp_pd_mask(real, x, e, 29); }
  static inline __m512i add(__m512i n, Mask m) { return _mm512_mask_sub_epi64(n, m, n, _mm512_set1_epi64(-1)); }
  static inline std::int64_t total(__m512i n) { return _mm512_reduce_add_epi64(n); }
  static inline void append(double* to, Mask m, Register x) { _mm512_storeu_pd(to, _mm512_maskz_compress_pd(m, x)); }
};

// N borders in one sweep; `odd` holds the values that reached an odd number of the toggling ones.
template <class V, int N, bool toggle>
inline __attribute__((always_inline)) void sweep(const typename V::T* x, int n, const typename V::T* e,
                                                 typename V::Mask* odd, std::int64_t* reached) {
  typename V::Register border[N];
  __m512i count[N];
  for (int k = 0; k < N; ++k) {
    border[k] = V::all(e[k]);
    count[k] = _mm512_setzero_si512();
  }
  int at = 0;
  for (int i = 0; i < n; i += V::kLanes, ++at) {
    const auto real = static_cast<typename V::Mask>(n - i >= V::kLanes ? ~0u : (1u << (n - i)) - 1);
    const typename V::Register v = V::load(real, x + i);
    unsigned bits = 0;
#pragma GCC unroll 8
    for (int k = 0; k < N; ++k) {
      const typename V::Mask m = V::reaches(real, v, border[k]);
      count[k] = V::add(count[k], m);
      bits ^= m;
    }
    if (toggle) odd[at] = static_cast<typename V::Mask>(odd[at] ^ bits);
  }
  for (int k = 0; k < N; ++k) reached[k] += V::total(count[k]);
}

template <class V, bool toggle>
inline __attribute__((always_inline)) void sweeps(const typename V::T* x, int n, const typename V::T* e, int borders,
                                                  typename V::Mask* odd, std::int64_t* reached) {
  int k = 0;
  for (; k + 8 <= borders; k += 8) sweep<V, 8, toggle>(x, n, e + k, odd, reached + k);
  for (; k + 2 <= borders; k += 2) sweep<V, 2, toggle>(x, n, e + k, odd, reached + k);
  if (k < borders) sweep<V, 1, toggle>(x, n, e + k, odd, reached + k);
}

template <class V>
inline __attribute__((always_inline)) void filter_with(const typename V::T* in, int n,
                                                       const Borders<typename V::T>& borders,
                                                       Kept<typename V::T>& kept) {
  typename V::Mask odd[kFilterBlock / V::kLanes] = {};
  sweeps<V, true>(in, n, borders.value, borders.toggles, odd, kept.reached);
  sweeps<V, false>(in, n, borders.value + borders.toggles, borders.count - borders.toggles, odd,
                   kept.reached + borders.toggles);
  std::int64_t size = kept.size;
  int at = 0;
  for (int i = 0; i < n; i += V::kLanes, ++at) {
    if (!odd[at]) continue;
    V::append(kept.to + size, odd[at], V::load(odd[at], in + i));
    size += __builtin_popcount(odd[at]);
  }
  kept.size = size;
}

void filter_row(const float* in, int n, const Borders<float>& borders, Kept<float>& kept) {
  filter_with<Floats>(in, n, borders, kept);
}
void filter_row(const double* in, int n, const Borders<double>& borders, Kept<double>& kept) {
  filter_with<Doubles>(in, n, borders, kept);
}

#else

template <class T>
struct LaneOf {
  typedef std::int32_t type;
};
template <>
struct LaneOf<double> {
  typedef std::int64_t type;
};

// Up to four borders in one sweep; `passed` counts the toggling ones that a value is not below.
template <int N, bool toggle, class T, class Lane>
inline __attribute__((always_inline)) void sweep(const T* __restrict x, int n, const T* e, Lane* __restrict passed,
                                                 std::int64_t* reached) {
  const T a = e[0], b = e[N > 1 ? 1 : 0], c = e[N > 2 ? 2 : 0], d = e[N > 3 ? 3 : 0];
  Lane na = 0, nb = 0, nc = 0, nd = 0;
  for (int i = 0; i < n; ++i) {
    const Lane ga = x[i] >= a, gb = x[i] >= b, gc = x[i] >= c, gd = x[i] >= d;
    na += ga;
    if (N > 1) nb += gb;
    if (N > 2) nc += gc;
    if (N > 3) nd += gd;
    if (toggle) passed[i] += ga + (N > 1 ? gb : 0) + (N > 2 ? gc : 0) + (N > 3 ? gd : 0);
  }
  reached[0] += na;
  if (N > 1) reached[1] += nb;
  if (N > 2) reached[2] += nc;
  if (N > 3) reached[3] += nd;
}

template <bool toggle, class T, class Lane>
inline __attribute__((always_inline)) void sweeps(const T* x, int n, const T* e, int borders, Lane* passed,
                                                  std::int64_t* reached) {
  int k = 0;
  for (; k + 4 <= borders; k += 4) sweep<4, toggle>(x, n, e + k, passed, reached + k);
  for (; k + 2 <= borders; k += 2) sweep<2, toggle>(x, n, e + k, passed, reached + k);
  if (k < borders) sweep<1, toggle>(x, n, e + k, passed, reached + k);
}

template <class T>
void filter_row(const T* __restrict in, int count, const Borders<T>& borders, Kept<T>& kept) {
  typedef typename LaneOf<T>::type Lane;
  alignas(64) Lane passed[kFilterBlock];
  alignas(64) std::uint8_t inside[kFilterBlock + 8];
  for (int i = 0; i < count; ++i) passed[i] = 0;
  sweeps<true>(in, count, borders.value, borders.toggles, passed, kept.reached);
  sweeps<false>(in, count, borders.value + borders.toggles, borders.count - borders.toggles, passed,
                kept.reached + borders.toggles);
  for (int i = 0; i < count; ++i) inside[i] = static_cast<std::uint8_t>(passed[i] & 1);
  for (int i = count; i < count + 8; ++i) inside[i] = 0;
  T* const to = kept.to;
  std::int64_t size = kept.size;
  for (int i = 0; i < count; i += 8) {
    std::uint64_t any;
    __builtin_memcpy(&any, inside + i, 8);
    if (!any) continue;
    const int n = count - i < 8 ? count - i : 8;
    for (int k = 0; k < n; ++k) {
      to[size] = in[i + k];  // overwritten unless kept
      size += inside[i + k];
    }
  }
  kept.size = size;
}

#endif

}  // namespace

extern const FilterTable filter_table;
const FilterTable filter_table = {filter_row, filter_row};

}  // namespace fastimg::histogram::FASTIMG_LEVEL
