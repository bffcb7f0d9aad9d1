// Texture matrices of levels in a box with a border of `pad` zeros (csrc/radiomics/volume.hpp). Integer atomics only,
// so that the counts are those of the CPU; one thread a voxel of the box, grid-stride. What many voxels count into is
// gathered in the block's shared memory first; a block is given so many voxels that adding its table pays.
#include "fastimg/texture.cuh"

namespace {

using fastimg::i64;
using fastimg::u32;
using fastimg::u64;

// Where voxel i of the slices [z_begin, ...) of an (ny, nx) box lies in the padded array.
struct Box {
  i64 ny, nx, pad, z_begin;
  __device__ i64 operator()(i64 i) const {
    // 32-bit divisions where they do: the others take many times as long.
    i64 row = i >> 32 ? i / nx : (u32)i / (u32)nx;
    const i64 x = i - row * nx, z = row >> 32 ? row / ny : (u32)row / (u32)ny;
    return ((z + z_begin + pad) * (ny + 2 * pad) + row - z * ny + pad) * (nx + 2 * pad) + x + pad;
  }
};

__device__ i64 first() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ i64 step() { return (i64)gridDim.x * blockDim.x; }
__device__ void add(i64* place, i64 value) { atomicAdd(reinterpret_cast<u64*>(place), (u64)value); }

// blockIdx.y is the offset; a block gathers in shared memory, then adds its table to the result.
template <class T>
__device__ void glcm_each(const T* levels, i64 ny, i64 nx, i64 pad, i64 z_begin, i64 count, const i64* shifts, int side,
                          i64* counts, unsigned* table) {
  const int cells = side * side;
  for (int cell = threadIdx.x; cell < cells; cell += blockDim.x) table[cell] = 0;
  __syncthreads();
  const Box box{ny, nx, pad, z_begin};
  const i64 shift = shifts[blockIdx.y];
  for (i64 i = first(); i < count; i += step()) {
    const i64 at = box(i);
    const int level = levels[at], other = levels[at + shift];
    if (level && other) atomicAdd(table + (level - 1) * side + other - 1, 1u);
  }
  __syncthreads();
  i64* to = counts + (i64)blockIdx.y * cells;
  for (int cell = threadIdx.x; cell < cells; cell += blockDim.x)
    if (table[cell]) add(to + cell, table[cell]);
}

template <class T>
__device__ void glcm_wide_each(const T* levels, i64 ny, i64 nx, i64 pad, i64 z_begin, i64 count, const i64* shifts,
                               i64 side, i64* counts) {
  const Box box{ny, nx, pad, z_begin};
  const i64 shift = shifts[blockIdx.y];
  for (i64 i = first(); i < count; i += step()) {
    const i64 at = box(i), level = levels[at], other = levels[at + shift];
    if (level && other) add(counts + ((i64)blockIdx.y * side + level - 1) * side + other - 1, 1);
  }
}

// Runs of two or more, and (in the first direction) the voxels of each level: runs of one are what is left of them.
// Lengths up to kShort + 1 are gathered in shared memory where `table` is given, of side * (kShort + 1) cells.
constexpr int kShort = 8;

template <class T>
__device__ void glrlm_each(const T* levels, i64 ny, i64 nx, i64 pad, i64 z_begin, i64 count, const i64* shifts,
                           i64 side, i64 longest, i64* counts, i64* voxels, unsigned* table, bool gathers) {
  const Box box{ny, nx, pad, z_begin};
  const i64 shift = shifts[blockIdx.y];
  const bool counting = blockIdx.y == 0;
  i64* to = counts + (i64)blockIdx.y * side * longest;
  const int cells = gathers ? (int)side * (kShort + 1) : 0;
  for (int cell = threadIdx.x; cell < cells; cell += blockDim.x) table[cell] = 0;
  __syncthreads();
  for (i64 i = first(); i < count; i += step()) {
    const T* at = levels + box(i);
    const T level = *at;
    if (!level) continue;
    if (counting) {
      if (gathers)
        atomicAdd(table + (level - 1) * (kShort + 1) + kShort, 1u);
      else
        add(voxels + level - 1, 1);
    }
    if (!fastimg::opens_run(at[-shift], level, at[shift])) continue;
    i64 length = 1;
    for (const T* p = at + shift; *p == level; p += shift) ++length;
    if (gathers && length < kShort + 2)
      atomicAdd(table + (level - 1) * (kShort + 1) + (int)length - 2, 1u);
    else
      add(to + (level - 1) * longest + length - 1, 1);
  }
  __syncthreads();
  for (int cell = threadIdx.x; cell < cells; cell += blockDim.x) {
    if (!table[cell]) continue;
    const int level = cell / (kShort + 1), part = cell % (kShort + 1);
    add(part == kShort ? voxels + level : to + level * longest + part + 1, table[cell]);
  }
}

// `gathers`: tables of 3 * cells unsigned in shared memory; sums of differences fit them (8-bit levels, 26 neighbours,
// at most 2^17 voxels a block: 2^30).
template <class T>
__device__ void neighbours_each(const T* levels, i64 ny, i64 nx, i64 pad, i64 z_begin, i64 count, const i64* shifts,
                                i64 shift_count, i64 side, i64 alpha, i64* tables, unsigned* table, bool gathers) {
  const Box box{ny, nx, pad, z_begin};
  const i64 width = shift_count + 1, cells = side * width;
  const int gathered = gathers ? 3 * (int)cells : 0;
  for (int cell = threadIdx.x; cell < gathered; cell += blockDim.x) table[cell] = 0;
  __syncthreads();
  for (i64 i = first(); i < count; i += step()) {
    const T* at = levels + box(i);
    const T level = *at;
    if (!level) continue;
    i64 near = 0, in = 0, sum = 0;
    for (i64 k = 0; k < shift_count; ++k) {
      const T other = at[shifts[k]];
      near += fastimg::depends(level, other, alpha);
      in += other != 0;
      sum += other;
    }
    const i64 row = (level - 1) * width, apart = fastimg::apart_from_mean(level, in, sum);
    if (gathers) {
      atomicAdd(table + row + near, 1u);
      atomicAdd(table + cells + row + in, 1u);
      atomicAdd(table + 2 * cells + row + in, (unsigned)apart);
    } else {
      add(tables + row + near, 1);
      add(tables + cells + row + in, 1);
      add(tables + 2 * cells + row + in, apart);
    }
  }
  __syncthreads();
  for (int cell = threadIdx.x; cell < gathered; cell += blockDim.x)
    if (table[cell]) add(tables + cell, table[cell]);
}

// Union-find over the padded array: a root is the smallest index of its zone. While others join, a parent is read by an
// atomic operation that leaves it as it is.
__device__ int moving_root_of(int* parent, int i) {
  for (;;) {
    const int above = atomicMin(parent + i, i);
    if (above == i) return i;
    i = above;
  }
}

__device__ int root_of(const int* parent, int i) {
  while (parent[i] != i) i = parent[i];
  return i;
}

__device__ void join(int* parent, int a, int b) {
  for (;;) {
    a = moving_root_of(parent, a);
    b = moving_root_of(parent, b);
    if (a == b) return;
    if (a > b) {
      const int swap = a;
      a = b;
      b = swap;
    }
    const int old = atomicMin(parent + b, a);
    if (old == b) return;  // b was still a root
    b = old;
  }
}

template <class T>
__device__ void zone_join_each(const T* levels, i64 ny, i64 nx, i64 pad, i64 z_begin, i64 count, const i64* shifts,
                               i64 shift_count, int* parent) {
  const Box box{ny, nx, pad, z_begin};
  for (i64 i = first(); i < count; i += step()) {
    const i64 at = box(i);
    if (!levels[at]) continue;
    const T level = levels[at];
    if (levels[at + 1] == level) join(parent, (int)at, (int)at + 1);
    // The others are rows of three: where the middle one is equal, it is joined to its equal neighbours anyway.
    for (i64 k = 2; k < shift_count; k += 3) {
      const i64 middle = at + shifts[k];
      if (levels[middle] == level) {
        join(parent, (int)at, (int)middle);
        continue;
      }
      if (levels[middle - 1] == level) join(parent, (int)at, (int)middle - 1);
      if (levels[middle + 1] == level) join(parent, (int)at, (int)middle + 1);
    }
  }
}

// A stretch along x is counted at once, by its first voxel.
template <class T>
__device__ void zone_count_each(const T* levels, i64 ny, i64 nx, i64 pad, i64 z_begin, i64 count, int* parent,
                                const unsigned short* distances, int* sizes, int* nearest) {
  const Box box{ny, nx, pad, z_begin};
  for (i64 i = first(); i < count; i += step()) {
    const i64 at = box(i);
    const T level = levels[at];
    if (!level || levels[at - 1] == level) continue;
    int length = 1, near = distances ? distances[i + z_begin * ny * nx] : 0;
    for (; levels[at + length] == level; ++length) {
      const int other = distances ? distances[i + length + z_begin * ny * nx] : 0;
      near = other < near ? other : near;
    }
    const int root = root_of(parent, (int)at);
    atomicAdd(sizes + root, length);
    if (distances) atomicMin(nearest + root, near);
  }
}

// How many zones of each level have each size below kSmall and each distance; the level and size of the larger ones, in
// any order, after the number of them.
constexpr int kSmall = 256;

template <class T>
__device__ void zone_tally_each(const T* levels, i64 places, const int* sizes, const int* nearest, i64 reach,
                                i64* by_size, i64* by_distance, i64* large) {
  for (i64 at = first(); at < places; at += step()) {
    const int size = sizes[at];
    if (!size) continue;
    const i64 row = levels[at] - 1;
    if (size < kSmall) {
      add(by_size + row * kSmall + size, 1);
    } else {
      const i64 place = (i64)atomicAdd(reinterpret_cast<u64*>(large), (u64)1);
      large[1 + 2 * place] = row + 1;
      large[2 + 2 * place] = size;
    }
    if (reach) add(by_distance + row * reach + nearest[at], 1);
  }
}

}  // namespace

extern "C" __global__ void glcm_uint8(const unsigned char* levels, long long ny, long long nx, long long pad,
                                      long long z_begin, long long count, const long long* shifts, int side,
                                      long long* counts) {
  FASTIMG_DYNAMIC_SHARED(unsigned, table);
  glcm_each(levels, ny, nx, pad, z_begin, count, shifts, side, counts, table);
}

#define FASTIMG_ENTRIES(name, T)                                                                                       \
  extern "C" __global__ void glcm_wide_##name(const T* levels, long long ny, long long nx, long long pad,              \
                                              long long z_begin, long long count, const long long* shifts,             \
                                              long long side, long long* counts) {                                     \
    glcm_wide_each(levels, ny, nx, pad, z_begin, count, shifts, side, counts);                                         \
  }                                                                                                                    \
  extern "C" __global__ void glrlm_##name(const T* levels, long long ny, long long nx, long long pad,                  \
                                          long long z_begin, long long count, const long long* shifts, long long side, \
                                          long long longest, long long* counts, long long* voxels, int gathers) {      \
    FASTIMG_DYNAMIC_SHARED(unsigned, table);                                                                           \
    glrlm_each(levels, ny, nx, pad, z_begin, count, shifts, side, longest, counts, voxels, table, gathers != 0);       \
  }                                                                                                                    \
  extern "C" __global__ void neighbours_##name(const T* levels, long long ny, long long nx, long long pad,             \
                                               long long z_begin, long long count, const long long* shifts,            \
                                               long long shift_count, long long side, long long alpha,                 \
                                               long long* tables, int gathers) {                                       \
    FASTIMG_DYNAMIC_SHARED(unsigned, table);                                                                           \
    neighbours_each(levels, ny, nx, pad, z_begin, count, shifts, shift_count, side, alpha, tables, table,              \
                    gathers != 0);                                                                                     \
  }                                                                                                                    \
  extern "C" __global__ void zone_join_##name(const T* levels, long long ny, long long nx, long long pad,              \
                                              long long z_begin, long long count, const long long* shifts,             \
                                              long long shift_count, int* parent) {                                    \
    zone_join_each(levels, ny, nx, pad, z_begin, count, shifts, shift_count, parent);                                  \
  }                                                                                                                    \
  extern "C" __global__ void zone_count_##name(const T* levels, long long ny, long long nx, long long pad,             \
                                               long long z_begin, long long count, int* parent,                        \
                                               const unsigned short* distances, int* sizes, int* nearest) {            \
    zone_count_each(levels, ny, nx, pad, z_begin, count, parent, distances, sizes, nearest);                           \
  }                                                                                                                    \
  extern "C" __global__ void zone_tally_##name(const T* levels, long long places, const int* sizes,                    \
                                               const int* nearest, long long reach, long long* by_size,                \
                                               long long* by_distance, long long* large) {                             \
    zone_tally_each(levels, places, sizes, nearest, reach, by_size, by_distance, large);                               \
  }
FASTIMG_ENTRIES(uint8, unsigned char)
FASTIMG_ENTRIES(uint16, unsigned short)

// Taxicab distance, one axis: a thread walks one line of `length` voxels forth and back.
extern "C" __global__ void taxicab_axis(unsigned short* out, long long lines, long long inner, long long length,
                                        long long stride, long long outer) {
  for (i64 i = first(); i < lines; i += step()) {
    unsigned short* at = out + i / inner * outer + i % inner * (stride == 1 ? length : 1);
    for (int back = 0; back < 2; ++back) {
      int near = 0;
      for (i64 n = 0; n < length; ++n) {
        unsigned short* place = at + (back ? length - 1 - n : n) * stride;
        near = *place < near + 1 ? *place : near + 1;
        *place = (unsigned short)near;
      }
    }
  }
}
