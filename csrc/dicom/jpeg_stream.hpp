// Huffman tables and bit streams of lossless JPEG, and the loops over them, one set a level.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/isa.hpp"
#include "dicom/bytes.hpp"

namespace fastimg::dicom {

// One Huffman table (T.81 annex C) of sizes of differences, with two ways to look codes up by the next kBits bits.
struct JpegTable {
  static constexpr int kBits = 11;
  static constexpr unsigned kCells = 1u << kBits;

  // A code that fits the index, its difference's first bit too: the difference is its other bits plus `base`.
  struct Plain {
    std::uint8_t total, size;  // bits of code and difference; of the difference. total 0: look it up slowly
    std::int16_t base;
  };
  static constexpr int kMost = 18;  // bits of such a code and difference: one refill serves three
  // Up to three whole differences: 3 x 16 bits, then their number, then their bits (0: look it up slowly).
  using Multi = std::uint64_t;

  Byte counts[16] = {0};
  Byte sizes[256] = {0};
  bool defined = false, several = false;  // several: a lookup yields more than one difference on average
  std::uint32_t bound[18];                // first 16-bit prefix beyond the codes of this length and shorter ones
  std::int32_t first[17];                 // index of a code in `sizes`: first[length] + code
  Plain plain[kCells];
  Multi multi[kCells];

  // From a DHT segment's counts and sizes. False where they make no code for sizes 0 to 16.
  bool build(const Byte* code_counts, const Byte* code_sizes, unsigned codes);
};

// The bits of one segment and where their differences go.
struct JpegStream {
  const JpegTable* table = nullptr;
  const Byte *at = nullptr, *begin = nullptr, *end = nullptr;  // bytes after `end` are readable: see kPadding
  std::uint64_t bits = 0;                                      // the next ones, from the top
  unsigned count = 0;                                          // of them
  std::int16_t* out = nullptr;
  bool bad = false;

  void start(const Byte* from, const Byte* to) {
    at = begin = from;
    end = to;
    bits = count = 0;
    bad = false;
  }
  void refill() {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    bits |= __builtin_bswap64(word) >> count;
    at += (63 - count) >> 3;
    count |= 56;
  }
  // Whether more bits were taken than there are.
  bool overrun() const { return at > end && static_cast<std::uint64_t>(at - end) * 8 > count; }
  // One difference, whatever its code; `bad` is set where there is none.
  std::int16_t slow();
};

// Bytes that must be readable behind a segment while `values` differences are decoded.
constexpr std::uint64_t jpeg_padding(std::uint64_t values) { return 4 * values + 64; }

struct JpegLoops {
  // `count` differences of each stream, [1], [2] or [4] streams in turns.
  void (*several[5])(JpegStream* const* streams, std::int64_t count);
  void (*plain[5])(JpegStream* const* streams, std::int64_t count);
  // One row of predictors 1 to 7 (T.81 table H.1). `above` is the row before it, [-1] is never read.
  // `deltas` may change.
  void (*row)(int predictor, std::int16_t* deltas, const std::uint16_t* above, std::uint16_t* out,
              std::int64_t columns);
  // A row without one above it: `value`, then the left neighbour.
  void (*first_row)(std::uint16_t value, const std::int16_t* deltas, std::uint16_t* out, std::int64_t columns);
};
FASTIMG_DECLARE_TABLE(JpegLoops, jpeg_loops)

}  // namespace fastimg::dicom
