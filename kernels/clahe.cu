// Contrast-limited adaptive histogram equalisation: bins of voxels, a block a tile's histogram, a thread a column's
// mixes.
#include "fastimg/clahe.cuh"
#include "fastimg/each.cuh"

using fastimg::i64;

namespace {

template <class T>
__device__ void levels_each(const T* in, unsigned char* out, i64 count, double low, double scale, double inverse) {
  fastimg::each(in, out, count, [=](T x) { return fastimg::clahe_level((double)x, low, scale, inverse); });
}

}  // namespace

#define FASTIMG_ENTRY(name, T)                                                                                         \
  extern "C" __global__ void levels_##name(const T* in, unsigned char* out, long long count, double low, double scale, \
                                           double inverse) {                                                           \
    levels_each(in, out, count, low, scale, inverse);                                                                  \
  }
FASTIMG_ENTRY(int8, signed char)
FASTIMG_ENTRY(uint8, unsigned char)
FASTIMG_ENTRY(int16, short)
FASTIMG_ENTRY(uint16, unsigned short)
FASTIMG_ENTRY(int32, int)
FASTIMG_ENTRY(float32, float)
FASTIMG_ENTRY(float64, double)

// A block a tile, a warp a row; sizes are (z, y, x).
extern "C" __global__ void tiles(const unsigned char* levels, const unsigned char* mask, int masked, int nz, int ny,
                                 int nx, int kz, int ky, int kx, int ty, int tx, int bins, int* counts) {
  __shared__ int table[256];
  for (int i = threadIdx.x; i < bins; i += blockDim.x) table[i] = 0;
  __syncthreads();
  const int tile = (int)blockIdx.x, z0 = tile / (ty * tx) * kz, y0 = tile / tx % ty * ky, x0 = tile % tx * kx;
  for (int row = (int)threadIdx.x / 32; row < kz * ky; row += (int)blockDim.x / 32) {
    const int z = fastimg::clahe_mirror(z0 + row / ky, nz), y = fastimg::clahe_mirror(y0 + row % ky, ny);
    const i64 start = ((i64)z * ny + y) * nx;
    for (int i = (int)threadIdx.x % 32; i < kx; i += 32) {
      const i64 at = start + fastimg::clahe_mirror(x0 + i, nx);
      if (!masked || mask[at]) atomicAdd(table + levels[at], 1);
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < bins; i += blockDim.x) counts[(i64)tile * bins + i] = table[i];
}

extern "C" __global__ void apply(const unsigned char* levels, const float* maps, int nz, int ny, int nx, int kz, int ky,
                                 int kx, int tz, int ty, int tx, int bins, float* out) {
  const int at = (int)(blockIdx.x * blockDim.x + threadIdx.x);
  if (at >= nx) return;
  const fastimg::ClaheBetween x = fastimg::clahe_between(at, kx, tx);
  const i64 row = (i64)tx * bins, sides[2] = {(i64)x.first * bins, (i64)x.second * bins};
  for (int k = (int)blockIdx.z; k < nz; k += (int)gridDim.z) {
    const fastimg::ClaheBetween z = fastimg::clahe_between(k, kz, tz);
    for (int j = (int)blockIdx.y; j < ny; j += (int)gridDim.y) {
      const fastimg::ClaheBetween y = fastimg::clahe_between(j, ky, ty);
      const i64 i = ((i64)k * ny + j) * nx + at;
      const int level = levels[i];
      const float* const first = maps + (i64)z.first * ty * row;
      const float* const second = maps + (i64)z.second * ty * row;
      float along[2];
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        const i64 column = sides[side] + level, above = y.first * row + column, below = y.second * row + column;
        const float a = first[above], b = first[below], c = second[above], d = second[below];
        along[side] = fastimg::clahe_mix(fastimg::clahe_mix(a, b, y.share), fastimg::clahe_mix(c, d, y.share), z.share);
      }
      out[i] = fastimg::clahe_mix(along[0], along[1], x.share);
    }
  }
}
