// A volume with its axes in another order and direction: a copy. Where the input's fastest axis is not the output's, it
// goes by tiles in shared memory, so that a warp reads along the one and writes along the other.
#include "fastimg/rescale.cuh"

namespace {

using fastimg::i64;

constexpr int kTile = 32;

// Voxel (a, b, c) of the output lies at in[first + a * step.a + b * step.b + c * step.c]; `volume` voxels each of many.
struct Way {
  i64 n[3], step[3], first, volume;
};

template <class T>
__device__ void straight(const T* in, T* out, const Way& way, i64 count) {
  const i64 stride = (i64)gridDim.x * blockDim.x;
  for (i64 v = (i64)blockIdx.x * blockDim.x + threadIdx.x; v < count; v += stride) {
    const i64 which = v / way.volume, at = v - which * way.volume;
    const i64 c = at % way.n[2], b = at / way.n[2] % way.n[1], a = at / (way.n[2] * way.n[1]);
    out[v] = in[which * way.volume + way.first + a * way.step[0] + b * way.step[1] + c * way.step[2]];
  }
}

// `fast` is the axis of the output, 0 or 1, along which the input's voxels are neighbours.
template <int fast, class T>
__device__ void tiled(const T* in, T* out, const Way& way, i64 count) {
  __shared__ T tile[kTile][kTile + 1];  // one column more: no two threads of a warp on one bank
  constexpr int other = 1 - fast;
  const int lane = threadIdx.x % kTile, begin = threadIdx.x / kTile, rows = blockDim.x / kTile;
  const i64 across = (way.n[2] + kTile - 1) / kTile, along = (way.n[fast] + kTile - 1) / kTile;
  const i64 out_step[2] = {way.n[1] * way.n[2], way.n[2]};
  const i64 tiles = count / way.volume * way.n[other] * along * across;
  for (i64 t = blockIdx.x; t < tiles; t += gridDim.x) {
    const i64 c0 = t % across * kTile, f0 = t / across % along * kTile;
    const i64 o = t / (across * along) % way.n[other], which = t / (across * along * way.n[other]);
    const T* from = in + which * way.volume + way.first + o * way.step[other];
    T* to = out + which * way.volume + o * out_step[other];
    for (int row = begin; row < kTile; row += rows)
      if (f0 + lane < way.n[fast] && c0 + row < way.n[2])
        tile[row][lane] = from[(f0 + lane) * way.step[fast] + (c0 + row) * way.step[2]];
    __syncthreads();
    for (int row = begin; row < kTile; row += rows)
      if (f0 + row < way.n[fast] && c0 + lane < way.n[2]) to[(f0 + row) * out_step[fast] + c0 + lane] = tile[lane][row];
    __syncthreads();
  }
}

}  // namespace

#define FASTIMG_REORIENT(name, T)                                                                                     \
  extern "C" __global__ void reorient_##name(const T* in, T* out, long long count, long long n0, long long n1,        \
                                             long long n2, long long s0, long long s1, long long s2, long long first, \
                                             int fast) {                                                              \
    const Way way = {{n0, n1, n2}, {s0, s1, s2}, first, n0 * n1 * n2};                                                \
    if (fast == 2)                                                                                                    \
      straight(in, out, way, count);                                                                                  \
    else if (fast == 1)                                                                                               \
      tiled<1>(in, out, way, count);                                                                                  \
    else                                                                                                              \
      tiled<0>(in, out, way, count);                                                                                  \
  }
FASTIMG_REORIENT(1, unsigned char)
FASTIMG_REORIENT(2, unsigned short)
FASTIMG_REORIENT(4, unsigned int)
FASTIMG_REORIENT(8, unsigned long long)
