// A mask with one bit a voxel and a border of one voxel of zeros around it; each row ends with a spare word of zeros.
#pragma once

#include <cstring>
#include <vector>

#include "radiomics/shape.hpp"

namespace fastimg::radiomics {

struct Bits {
  std::int64_t nz, ny, nx, words;  // with the border
  std::vector<std::uint64_t> bits;

  Bits(const Mask& mask, int threads)
      : nz(mask.nz + 2),
        ny(mask.ny + 2),
        nx(mask.nx + 2),
        words((nx + 63) / 64),
        bits(static_cast<std::size_t>(nz * ny * (words + 1))) {
    cpu::parallel_for(mask.nz, (mask.nz + 15) / 16, threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t z = begin; z < end; ++z)
        for (std::int64_t y = 0; y < mask.ny; ++y)
          pack(mask.data + (z * mask.ny + y) * mask.nx, mask.nx, row(z + 1, y + 1));
    });
  }
  // Words that another device has packed; sizes with the border.
  Bits(const std::uint64_t* packed, std::int64_t nz, std::int64_t ny, std::int64_t nx)
      : nz(nz), ny(ny), nx(nx), words((nx + 63) / 64), bits(packed, packed + nz * ny * (words + 1)) {}
  std::uint64_t* row(std::int64_t z, std::int64_t y) { return bits.data() + (z * ny + y) * (words + 1); }
  const std::uint64_t* row(std::int64_t z, std::int64_t y) const { return bits.data() + (z * ny + y) * (words + 1); }

 private:
  static void pack(const std::uint8_t* from, std::int64_t count, std::uint64_t* to) {
    std::uint64_t carried = 0;
    std::int64_t w = 0;
    for (std::int64_t x = 0; x < count; x += 64, ++w) {
      const std::int64_t part = count - x < 64 ? count - x : 64;
      std::uint64_t word = 0;
      std::int64_t i = 0;
#ifdef __SSE2__
      typedef char Sixteen __attribute__((vector_size(16)));
      for (; i + 16 <= part; i += 16) {
        Sixteen bytes;
        std::memcpy(&bytes, from + x + i, 16);
        const auto found = static_cast<std::uint16_t>(__builtin_ia32_pmovmskb128(bytes > 0));
        word |= std::uint64_t{found} << i;
      }
#endif
      for (; i + 8 <= part; i += 8) {
        std::uint64_t eight;
        std::memcpy(&eight, from + x + i, 8);
        // Eight bytes of 0 or 1 to eight bits (little endian): byte i moves to bit i of the top byte.
        word |= (eight * 0x0102040810204080ull) >> 56 << i;
      }
      for (; i < part; ++i) word |= std::uint64_t{from[x + i]} << i;
      to[w] = word << 1 | carried;  // one place on, for the border
      carried = word >> 63;
    }
    if (carried) to[w] = carried;
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
