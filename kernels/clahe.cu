// Contrast-limited adaptive histogram equalisation: bins of voxels, a block a tile's histogram, a thread a voxel's mix.
#include "fastimg/clahe.cuh"

using fastimg::i64;

namespace {

template <class T>
__device__ void levels_each(const T* in, unsigned char* out, i64 count, double low, double scale, double inverse) {
  const i64 step = (i64)gridDim.x * blockDim.x;
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step)
    out[i] = fastimg::clahe_level((double)in[i], low, scale, inverse);
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

// A block a tile; sizes are (z, y, x).
extern "C" __global__ void tiles(const unsigned char* levels, const unsigned char* mask, int masked, int nz, int ny,
                                 int nx, int kz, int ky, int kx, int ty, int tx, int bins, int* counts) {
  __shared__ int table[256];
  for (int i = threadIdx.x; i < bins; i += blockDim.x) table[i] = 0;
  __syncthreads();
  const int tile = (int)blockIdx.x, z0 = tile / (ty * tx) * kz, y0 = tile / tx % ty * ky, x0 = tile % tx * kx;
  const int voxels = kz * ky * kx;
  for (int i = threadIdx.x; i < voxels; i += blockDim.x) {
    const int z = fastimg::clahe_mirror(z0 + i / (ky * kx), nz), y = fastimg::clahe_mirror(y0 + i / kx % ky, ny);
    const int x = fastimg::clahe_mirror(x0 + i % kx, nx);
    const i64 at = ((i64)z * ny + y) * nx + x;
    if (!masked || mask[at]) atomicAdd(table + levels[at], 1);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < bins; i += blockDim.x) counts[(i64)tile * bins + i] = table[i];
}

extern "C" __global__ void apply(const unsigned char* levels, const float* maps, int nz, int ny, int nx, int kz, int ky,
                                 int kx, int tz, int ty, int tx, int bins, float* out) {
  const i64 count = (i64)nz * ny * nx, step = (i64)gridDim.x * blockDim.x;
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
    const fastimg::ClaheBetween x = fastimg::clahe_between((int)(i % nx), kx, tx);
    const fastimg::ClaheBetween y = fastimg::clahe_between((int)(i / nx % ny), ky, ty);
    const fastimg::ClaheBetween z = fastimg::clahe_between((int)(i / nx / ny), kz, tz);
    const int level = levels[i];
    float along[2];
    for (int side = 0; side < 2; ++side) {
      const float* const column = maps + (i64)(side ? x.second : x.first) * bins + level;
      const i64 row = (i64)tx * bins;
      const float a = column[((i64)z.first * ty + y.first) * row], b = column[((i64)z.first * ty + y.second) * row];
      const float c = column[((i64)z.second * ty + y.first) * row], d = column[((i64)z.second * ty + y.second) * row];
      along[side] = fastimg::clahe_mix(fastimg::clahe_mix(a, b, y.share), fastimg::clahe_mix(c, d, y.share), z.share);
    }
    out[i] = fastimg::clahe_mix(along[0], along[1], x.share);
  }
}
