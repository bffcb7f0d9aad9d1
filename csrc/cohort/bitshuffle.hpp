// Bit planes of a run of elements, as Blosc and bitshuffle lay them out: for each byte of the element, from the lowest,
// eight planes from bit 0; bit e % 8 of byte e / 8 of a plane belongs to element e.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cpu/pool.hpp"

namespace fastimg::cohort {

struct BitshuffleTable {
  // `count` elements of `size` bytes, count a multiple of 8; in and out do not overlap.
  void (*shuffle)(const std::uint8_t* in, std::uint8_t* out, std::size_t count, std::size_t size);
  // Of the elements at least [first, last); returns where the next call may begin: some after `last` are done too.
  std::size_t (*unshuffle)(const std::uint8_t* in, std::uint8_t* out, std::size_t count, std::size_t size,
                           std::size_t first, std::size_t last);
};
FASTIMG_DECLARE_TABLE(BitshuffleTable, bitshuffle_table)

inline const BitshuffleTable& bitshuffle() { return FASTIMG_PICK(bitshuffle_table); }

}  // namespace fastimg::cohort
