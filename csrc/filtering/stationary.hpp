// One level of the undecimated wavelet transform of a periodic volume, all bands at once.
#pragma once

#include <cstdint>

namespace fastimg::filtering {

// Kernels along one axis: `count` (1 or 2) of `taps` weights; out[o] = sum over j of w[j] * in[(o + shift - j) mod n],
// terms in the order of j; where o + shift - j >= n, those terms first and in the opposite order, as PyWavelets adds
// them.
template <class C>
struct Bank {
  int count, taps;
  std::int64_t shift;
  const C* weights;  // (count, taps)
};

// in: (sizes z, y, x); out: (x kernels, y kernels, z kernels, z, y, x), filtered along x, then y, then z.
template <class C>
void stationary(const C* in, C* out, const std::int64_t* sizes, const Bank<C>& bx, const Bank<C>& by, const Bank<C>& bz,
                int threads);

}  // namespace fastimg::filtering
