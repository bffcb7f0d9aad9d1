// Shape sums of a mask (csrc/radiomics/shape.hpp): its bits, one thread a word of 64 voxels, then moments and the sums
// of marching-cubes cases. Blocks gather in shared memory and add their integers to the result: no order matters.
#include "fastimg/mesh.cuh"

namespace {

using fastimg::i64;
using fastimg::u64;

constexpr int kMoments = 10, kCells = kMoments + 4 * 256;

__device__ i64 first() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ i64 step() { return (i64)gridDim.x * blockDim.x; }
__device__ void add(i64* place, i64 value) { atomicAdd(reinterpret_cast<u64*>(place), (u64)value); }

}  // namespace

// The mask (nz, ny, nx) gets a border of one voxel; rows of `words` and a spare word, which stays 0.
extern "C" __global__ void mask_bits(const unsigned char* mask, long long nz, long long ny, long long nx,
                                     long long words, unsigned long long* bits) {
  const i64 count = (nz + 2) * (ny + 2) * (words + 1);
  for (i64 i = first(); i < count; i += step()) {
    const i64 row = i / (words + 1), word = i - row * (words + 1);
    const i64 z = row / (ny + 2) - 1, y = row - (z + 1) * (ny + 2) - 1;
    u64 found = 0;
    if (z >= 0 && z < nz && y >= 0 && y < ny) {
      const unsigned char* from = mask + (z * ny + y) * nx;
      const i64 begin = 64 * word - 1;
      for (i64 x = begin < 0 ? 0 : begin; x < begin + 64 && x < nx; ++x) found |= (u64)(from[x] != 0) << (x - begin);
    }
    bits[i] = found;
  }
}

// sums: 10 moments, then (256, 4) cases. `rows` and `planes` count the border.
extern "C" __global__ void mask_sums(const unsigned long long* bits, long long planes, long long rows, long long words,
                                     long long* sums) {
  FASTIMG_DYNAMIC_SHARED(long long, table);
  for (int cell = threadIdx.x; cell < kCells; cell += blockDim.x) table[cell] = 0;
  __syncthreads();
  const i64 wide = words + 1, count = (planes - 1) * (rows - 1) * words;
  for (i64 i = first(); i < count; i += step()) {
    const i64 row = i / words, word = i - row * words, z = row / (rows - 1), y = row - z * (rows - 1);
    const u64* a = bits + (z * rows + y) * wide + word;
    i64 n = 0, x1 = 0, x2 = 0, from, to;
    for (u64 left = *a; fastimg::next_stretch(&left, &from, &to);) {
      const fastimg::Stretch part = fastimg::stretch_of(64 * word + from, 64 * word + to);
      n += part.count;
      x1 += part.sum;
      x2 += part.squares;
    }
    if (n) {
      const i64 found[kMoments] = {n, n * z, n * y, x1, n * z * z, n * y * y, x2, n * z * y, z * x1, y * x1};
      for (int m = 0; m < kMoments; ++m) add(table + m, found[m]);
    }
    const fastimg::Cubes cubes = fastimg::cubes_of(a, a + wide, a + rows * wide, a + (rows + 1) * wide);
    for (u64 left = fastimg::crossed(cubes); left; left &= left - 1) {
      const int x = fastimg::lowest_bit(left);
      i64* to_case = table + kMoments + 4 * (int)fastimg::cube_at(cubes, x);
      add(to_case, 1);
      add(to_case + 1, z);
      add(to_case + 2, y);
      add(to_case + 3, 64 * word + x);
    }
  }
  __syncthreads();
  for (int cell = threadIdx.x; cell < kCells; cell += blockDim.x)
    if (table[cell]) add(sums + cell, table[cell]);
}
