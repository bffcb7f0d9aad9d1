// Separable filters with finite kernels: along z, then y, then x, sums from the first tap to the last.
#pragma once

#include <cstdint>

#include "cpu/pool.hpp"

namespace fastimg::filtering {

enum class Kind : int { i8, u8, i16, u16, i32, u32, i64, u64, f32, f64 };
constexpr int kKinds = 10;
constexpr std::int64_t kSizes[kKinds] = {1, 1, 2, 2, 4, 4, 8, 8, 4, 8};

template <class C>
struct FirTable {
  void (*load_sum[kKinds])(const void* const* rows, const C* weights, int taps, C* out, std::int64_t n);
  void (*sum)(const C* const* rows, const C* weights, int taps, C* out, std::int64_t n);
};
FASTIMG_DECLARE_TABLE(FirTable<float>, float_fir)
FASTIMG_DECLARE_TABLE(FirTable<double>, double_fir)

// out (sizes z, y, x; of kind C): for each axis, out[o] = sum over t of w[t] * in[source[o + t]]. The sources hold
// size + taps - 1 indices, the border's rule included. float serves voxels of 8 and 16 bits and float32.
template <class C>
void filter(const void* in, int kind, C* out, const std::int64_t* sizes, const std::int64_t* taps, const C* wz,
            const C* wy, const C* wx, const std::int64_t* sz, const std::int64_t* sy, const std::int64_t* sx,
            int threads);

}  // namespace fastimg::filtering
