// What the texture sweeps do with a whole row of voxels at once, one version for each instruction-set level. `at` is a
// row of levels, other rows are `at` plus an offset; nothing beyond a row's n voxels and their neighbours is read.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/pool.hpp"

namespace fastimg::radiomics {

template <class T>
struct Twice;
template <>
struct Twice<std::uint8_t> {
  using type = std::uint16_t;
};
template <>
struct Twice<std::uint16_t> {
  using type = std::uint32_t;
};

// Where a voxel's neighbours lie: rows step_y apart, slices `back` and `ahead` apart (0: none). `alone`: whether voxels
// that equal no neighbour are told apart from those that begin a zone.
struct Reach {
  std::int64_t step_y, back, ahead;
  bool alone;
};
// Codes: no zone (outside, or alone), a new one, that of the voxel before, or from kOther + 3 r on that of voxel x - 1,
// x, x + 1 of row r: 0 the row above, 1 the row of the slice before, 2 the one above it, 3 the one below it.
constexpr std::uint8_t kNone = 0, kNew = 1, kBefore = 2, kOther = 3;
constexpr int kCodes = kOther + 12;

template <class T>
struct RowTable {
  using Sum = typename Twice<T>::type;

  // index[x] = at[x] * side + other[x]: the cell of a pair. 16 bits where side * side fits, else 32.
  void (*cells16)(const T* at, const T* other, std::int64_t side, std::uint16_t* index, std::int64_t n);
  void (*cells32)(const T* at, const T* other, std::int64_t side, std::uint32_t* index, std::int64_t n);

  // NGLDM and NGTDM: of the neighbours at `count` shifts (as many as T holds), how many are near in level and how many
  // are in the region, and the sum of their levels.
  void (*around)(const T* at, const std::int64_t* shifts, std::int64_t count, std::int64_t alpha, T* near, T* in,
                 Sum* sum, std::int64_t n);

  // GLRLM: length[x] of the run so far, from before_length where the voxel before has the same level, else 1; it stays
  // at the largest T. A bit of ends where a run of two or more ends; ends has n / 64 + 2 words.
  void (*extend)(const T* at, std::int64_t step, const T* before_length, T* length, std::uint64_t* ends,
                 std::int64_t n);

  // Where the bits of some words are set, in order; returns how many. Up to 8 places more are written.
  std::int64_t (*places)(const std::uint64_t* words, std::int64_t count, std::int32_t* to);

  // Zones: which voxel before it a voxel takes its zone from, as a code, and which others it must be joined to without
  // those that are joined already: bit r for voxel x, or else x - 1, of row r; bit 4 + r for voxel x + 1. any: a bit
  // for each voxel where more is not 0, n / 64 + 2 words.
  void (*meet)(const T* at, const Reach& reach, std::uint8_t* code, std::uint8_t* more, std::uint64_t* any,
               std::int64_t n);
};
using RowTable8 = RowTable<std::uint8_t>;
using RowTable16 = RowTable<std::uint16_t>;
FASTIMG_DECLARE_TABLE(RowTable8, rows8)
FASTIMG_DECLARE_TABLE(RowTable16, rows16)

template <class T>
const RowTable<T>& row_table();
template <>
inline const RowTable<std::uint8_t>& row_table() {
  return FASTIMG_PICK(rows8);
}
template <>
inline const RowTable<std::uint16_t>& row_table() {
  return FASTIMG_PICK(rows16);
}

}  // namespace fastimg::radiomics
