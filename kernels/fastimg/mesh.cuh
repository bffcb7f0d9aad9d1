// What shape asks of the bits of a mask: sums over stretches of voxels, and which case of marching cubes eight voxels
// are. Integers only: the same sums everywhere.
#pragma once
#include "fastimg/atom.cuh"

namespace fastimg {

FASTIMG_ATOM int lowest_bit(u64 word) {
#ifdef __CUDA_ARCH__
  return __ffsll((i64)word) - 1;
#else
  return __builtin_ctzll(word);
#endif
}

// Of the places from ... to - 1 of a row: how many, their sum, the sum of their squares.
struct Stretch {
  i64 count, sum, squares;
};
FASTIMG_ATOM Stretch stretch_of(i64 from, i64 to) {
  return {to - from, (to * (to - 1) - from * (from - 1)) / 2,
          ((to - 1) * to * (2 * to - 1) - (from - 1) * from * (2 * from - 1)) / 6};
}

// Takes the first stretch of ones off a word; false when there is none.
FASTIMG_ATOM bool next_stretch(u64* left, i64* from, i64* to) {
  if (*left == 0) return false;
  const int begin = lowest_bit(*left);
  const u64 ended = ~(*left >> begin);
  const int length = ended ? lowest_bit(ended) : 64;
  *left = begin + length >= 64 ? 0 : *left & (~(u64)0 << (begin + length));
  *from = begin;
  *to = begin + length;
  return true;
}

// Rows a (z, y), b (z, y + 1), c (z + 1, y), d (z + 1, y + 1) of words; each with the same row one voxel on.
struct Cubes {
  u64 a, b, c, d, an, bn, cn, dn;
};
FASTIMG_ATOM u64 one_on(const u64* row) { return row[0] >> 1 | row[1] << 63; }
FASTIMG_ATOM Cubes cubes_of(const u64* a, const u64* b, const u64* c, const u64* d) {
  return {a[0], b[0], c[0], d[0], one_on(a), one_on(b), one_on(c), one_on(d)};
}
// A bit for each cube that the surface crosses.
FASTIMG_ATOM u64 crossed(const Cubes& s) {
  return (s.a | s.b | s.c | s.d | s.an | s.bn | s.cn | s.dn) & ~(s.a & s.b & s.c & s.d & s.an & s.bn & s.cn & s.dn);
}
FASTIMG_ATOM unsigned cube_at(const Cubes& s, int x) {
  return (unsigned)((s.a >> x & 1) | (s.an >> x & 1) << 1 | (s.bn >> x & 1) << 2 | (s.b >> x & 1) << 3 |
                    (s.c >> x & 1) << 4 | (s.cn >> x & 1) << 5 | (s.dn >> x & 1) << 6 | (s.d >> x & 1) << 7);
}

}  // namespace fastimg
