// A plane of a mask with one bit a voxel; each row ends with a spare word of zeros.
#pragma once

#include <cstring>
#include <vector>

#include "radiomics/shape.hpp"

namespace fastimg::radiomics {

struct BitPlane {
  std::int64_t ny, words;
  std::vector<std::uint64_t> bits;

  BitPlane(const Mask& mask, std::int64_t z) : ny(mask.ny), words((mask.nx + 63) / 64), bits(ny * (words + 1)) {
    load(mask, z);
  }
  const std::uint64_t* row(std::int64_t y) const { return bits.data() + y * (words + 1); }

  void load(const Mask& mask, std::int64_t z) {
    for (std::int64_t y = 0; y < ny; ++y) {
      const std::uint8_t* from = mask.data + (z * ny + y) * mask.nx;
      std::uint64_t* to = bits.data() + y * (words + 1);
      for (std::int64_t w = 0; w < words; ++w) {
        const std::int64_t count = mask.nx - 64 * w < 64 ? mask.nx - 64 * w : 64;
        std::uint64_t word = 0;
        std::int64_t x = 0;
        for (; x + 8 <= count; x += 8) {
          std::uint64_t eight;
          std::memcpy(&eight, from + 64 * w + x, 8);
          // Eight bytes of 0 or 1 to eight bits (little endian): byte i moves to bit i of the top byte.
          word |= (eight * 0x0102040810204080ull) >> 56 << x;
        }
        for (; x < count; ++x) word |= std::uint64_t{from[64 * w + x]} << x;
        to[w] = word;
      }
      to[words] = 0;
    }
  }
};

// The first and last set bit of a row of words; false when there is none.
inline bool ends(const std::uint64_t* row, std::int64_t words, std::int64_t& first, std::int64_t& last) {
  std::int64_t a = 0, b = words - 1;
  while (a < words && !row[a]) ++a;
  if (a == words) return false;
  while (!row[b]) --b;
  first = 64 * a + __builtin_ctzll(row[a]);
  last = 64 * b + 63 - __builtin_clzll(row[b]);
  return true;
}

}  // namespace fastimg::radiomics
