// Weighted sums of rows, up to four in one sweep. Included in a level's region: no include guard, no standard header.
#include "fastimg/interpolate.cuh"

namespace fastimg::cpu::FASTIMG_LEVEL {
namespace {

// `start` opens the sum, else it goes on; taps are added from the first to the last.
template <int N, bool start, class T, class C>
void sweep(const T* const* rows, const C* weights, C* __restrict out, std::int64_t n) {
  const T* __restrict a = rows[0];
  const T* __restrict b = rows[N > 1 ? 1 : 0];
  const T* __restrict c = rows[N > 2 ? 2 : 0];
  const T* __restrict d = rows[N > 3 ? 3 : 0];
  const C wa = weights[0], wb = weights[N > 1 ? 1 : 0], wc = weights[N > 2 ? 2 : 0], wd = weights[N > 3 ? 3 : 0];
  for (std::int64_t i = 0; i < n; ++i) {
    C sum = start ? wa * static_cast<C>(a[i]) : fastimg::weigh(out[i], wa, static_cast<C>(a[i]));
    if (N > 1) sum = fastimg::weigh(sum, wb, static_cast<C>(b[i]));
    if (N > 2) sum = fastimg::weigh(sum, wc, static_cast<C>(c[i]));
    if (N > 3) sum = fastimg::weigh(sum, wd, static_cast<C>(d[i]));
    out[i] = sum;
  }
}

template <bool start, class T, class C>
void sweep_up_to_4(const T* const* rows, const C* weights, int taps, C* out, std::int64_t n) {
  if (taps >= 4)
    sweep<4, start>(rows, weights, out, n);
  else if (taps == 3)
    sweep<3, start>(rows, weights, out, n);
  else if (taps == 2)
    sweep<2, start>(rows, weights, out, n);
  else
    sweep<1, start>(rows, weights, out, n);
}

template <class T, class C>
void sum_rows(const T* const* rows, const C* weights, int taps, C* out, std::int64_t n) {
  sweep_up_to_4<true>(rows, weights, taps, out, n);
  for (int t = 4; t < taps; t += 4) sweep_up_to_4<false>(rows + t, weights + t, taps - t, out, n);
}

}  // namespace
}  // namespace fastimg::cpu::FASTIMG_LEVEL
