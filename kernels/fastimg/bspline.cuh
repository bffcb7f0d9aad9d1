// Cardinal B-splines (Unser, Aldroubi, Eden 1993): basis weights and the recursive prefilter with mirrored boundaries.
//
// The prefilter works on blocks of a fixed global grid: the coefficients under the outputs whose first tap lies in a
// block come from the mirrored signal from `horizon` samples before the block to `horizon` after the last tap. What
// lies further away weighs less than |pole|^horizon, below the arithmetic's own rounding. So a piece of a volume gives
// the same bits as the whole. The recursions leave out their gain, (1 - pole)(1 - 1 / pole), which the weights contain.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

constexpr int kSplineBlock = 128;  // first taps of a line that share one recursion

// Index mirrored at the centres of samples 0 and n - 1: ... 2 1 0 1 2 ... n-2 n-1 n-2 ...
template <class I>
FASTIMG_ATOM I mirrored(I i, I n) {
  if (n == 1) return 0;
  const I period = 2 * (n - 1);
  i = i < 0 ? -i : i;
  if (i >= period) i %= period;
  return i < n ? i : period - i;
}

// Forward recursion f[k] = s[k] + pole f[k-1]; it starts as if all earlier samples were equal to the first one.
template <class C>
FASTIMG_ATOM C forward_start(C sample, C start) {
  return sample * start;
}  // start = 1 / (1 - pole)
template <class C>
FASTIMG_ATOM C forward(C sample, C before, C pole) {
  return sample + pole * before;
}

// Backward recursion c[k] = pole (c[k+1] - f[k]); its start assumes that all later samples equal the last one.
template <class C>
FASTIMG_ATOM C backward_start(C f, C end) {
  return f * end;
}  // end = -pole / (1 - pole)
template <class C>
FASTIMG_ATOM C backward(C f, C after, C pole) {
  return pole * (after - f);
}

// The D + 1 weights at u in [0, 1) after the first tap's last knot; Cox-de Boor on unit knots.
template <int D, class C>
FASTIMG_ATOM void spline_weights(C u, C* w) {
  w[0] = C(1);
  for (int d = 1; d <= D; ++d) {
    const C scale = C(1) / C(d);
    w[d] = u * w[d - 1] * scale;
    for (int j = d - 1; j > 0; --j) w[j] = ((u + C(d - j)) * w[j - 1] + (C(j + 1) - u) * w[j]) * scale;
    w[0] = (C(1) - u) * w[0] * scale;
  }
}

}  // namespace fastimg
