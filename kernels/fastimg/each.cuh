// out[i] = map(in[i]) for every i below count: what a map of voxels needs beside its formula. Device code only.
//
// A thread takes sixteen values, in four loads that are all under way before the first is used; neighbouring threads
// take neighbouring fours, so that every access of a warp is one piece of memory. Arrays that begin off a border of 16
// bytes go value by value. Any grid covers any length.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

// Some neighbouring values, in as few loads as there can be.
template <class T, int kCount>
struct alignas(sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16) Some {
  T x[kCount];
};

template <class T, class R, class Map>
static __device__ __forceinline__ void each(const T* in, R* out, i64 count, Map map) {
  constexpr int kPack = 4, kUnderWay = 4;
  using In = Some<T, kPack>;
  using Out = Some<R, kPack>;
  const i64 packs = (((u64)in | (u64)out) & 15) == 0 ? count / kPack : 0;
  const int stride = (int)blockDim.x;
  const i64 span = (i64)stride * kUnderWay;
  for (i64 first = (i64)blockIdx.x * span + threadIdx.x; first < packs; first += gridDim.x * span) {
    const In* const from = (const In*)in + first;
    Out* const to = (Out*)out + first;
    const i64 left = packs - first;
    In a[kUnderWay];
#pragma unroll
    for (int u = 0; u < kUnderWay; ++u)
      if (u * stride < left) a[u] = from[u * stride];
#pragma unroll
    for (int u = 0; u < kUnderWay; ++u)
      if (u * stride < left) {
        Out b;
#pragma unroll
        for (int k = 0; k < kPack; ++k) b.x[k] = map(a[u].x[k]);
        to[u * stride] = b;
      }
  }
  const i64 step = (i64)gridDim.x * blockDim.x;
  for (i64 i = packs * kPack + (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) out[i] = map(in[i]);
}

}  // namespace fastimg
