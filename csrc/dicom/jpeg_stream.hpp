// Huffman tables and bit streams of lossless JPEG, and the loops over them, one set a level.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/isa.hpp"
#include "dicom/bytes.hpp"

namespace fastimg::dicom {

// One Huffman table (T.81 annex C) of sizes of differences, with two ways to look codes up by the next bits.
struct JpegTable {
  // By kBits bits, a code and its difference's first bit: the difference is the lowest 16 bits of the next kTotal bits,
  // as a number, plus what the upper half of the cell says (the code is subtracted there). In a cell:
  // bits 0-5 kTotal, 8 set where there is no such code (then kTotal is 0), 16-31 what is added.
  using Plain = std::uint32_t;
  static constexpr int kPlainBits = 10;  // four tables, the streams' values and the rows share an L1 cache
  static constexpr unsigned kPlainCells = 1u << kPlainBits;
  static constexpr Plain kNone = 1u << 8;
  static constexpr int kMost = 21;  // bits of such a code and difference: three are within a refilled word
  // By more bits, up to three whole differences: 3 x 16 bits, then their number, then their bits (0: look it up
  // slowly).
  using Multi = std::uint64_t;
  static constexpr int kBits = 11;
  static constexpr unsigned kCells = 1u << kBits;

  Byte counts[16] = {0};
  Byte sizes[256] = {0};
  bool defined = false;
  double bits = 0;          // of a difference on average, were codes and data made for each other
  std::uint32_t bound[18];  // first 16-bit prefix beyond the codes of this length and shorter ones
  std::int32_t first[17];   // index of a code in `sizes`: first[length] + code
  Plain plain[kPlainCells];
  Multi multi[kCells];

  // Whether `streams` of such differences are decoded faster by several a lookup (measured).
  bool several(int streams) const { return bits < (streams > 2 ? 5.0 : 6.5); }

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
