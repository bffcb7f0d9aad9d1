#include "dicom/inflate.hpp"

#include <algorithm>
#include <cstring>

namespace fastimg::dicom {
namespace {

constexpr int kMaxBits = 15, kFast = 10;

class Bits {
 public:
  Bits(const Byte* in, std::uint64_t size) : in_(in), end_(in + size) {}

  // At least 32 bits, zeros beyond the end; `overrun` tells whether such zeros were consumed.
  void fill() {
    while (count_ <= 56) {
      if (in_ < end_)
        hold_ |= static_cast<std::uint64_t>(*in_++) << count_;
      else
        beyond_ += 8;
      count_ += 8;
    }
  }
  std::uint32_t peek(int n) const { return static_cast<std::uint32_t>(hold_ & ((1ull << n) - 1)); }
  void drop(int n) {
    hold_ >>= n;
    count_ -= n;
  }
  std::uint32_t take(int n) {
    fill();
    const std::uint32_t value = peek(n);
    drop(n);
    return value;
  }
  bool overrun() const { return beyond_ > count_; }

  // The rest of the current byte is dropped; whole bytes are handed back.
  void align() {
    drop(count_ & 7);
    const int real = std::max(0, count_ - beyond_) / 8;
    in_ -= real;
    hold_ = 0;
    count_ = beyond_ = 0;
  }
  const Byte* here() const { return in_; }
  std::uint64_t left() const { return static_cast<std::uint64_t>(end_ - in_); }
  void skip(std::uint64_t n) { in_ += n; }

 private:
  const Byte *in_, *end_;
  std::uint64_t hold_ = 0;
  int count_ = 0, beyond_ = 0;
};

// A canonical Huffman code: a table for short codes, counting for long ones.
struct Code {
  std::uint16_t fast[1 << kFast];  // length << 12 ... symbol | length << 9, 0: longer than kFast
  std::uint16_t count[kMaxBits + 1], symbol[288];

  bool build(const Byte* lengths, int n, bool allow_incomplete) {
    std::memset(count, 0, sizeof count);
    for (int i = 0; i < n; ++i) ++count[lengths[i]];
    count[0] = 0;
    int left = 1;
    for (int bits = 1; bits <= kMaxBits; ++bits) {
      left = (left << 1) - count[bits];
      if (left < 0) return false;
    }
    if (left > 0 && !allow_incomplete) return false;
    std::uint16_t next[kMaxBits + 1] = {0}, first[kMaxBits + 1] = {0};
    for (int bits = 1; bits < kMaxBits; ++bits) next[bits + 1] = static_cast<std::uint16_t>(next[bits] + count[bits]);
    int code = 0;
    for (int bits = 1; bits <= kMaxBits; ++bits) {
      first[bits] = static_cast<std::uint16_t>(code);
      code = (code + count[bits]) << 1;
    }
    std::memset(fast, 0, sizeof fast);
    for (int i = 0; i < n; ++i) {
      const int bits = lengths[i];
      if (!bits) continue;
      symbol[next[bits]++] = static_cast<std::uint16_t>(i);
      const int value = first[bits]++;
      if (bits > kFast) continue;
      int reversed = 0;
      for (int b = 0; b < bits; ++b) reversed |= (value >> b & 1) << (bits - 1 - b);
      for (int at = reversed; at < 1 << kFast; at += 1 << bits) fast[at] = static_cast<std::uint16_t>(i | bits << 9);
    }
    return true;
  }

  int decode(Bits& bits) const {
    bits.fill();
    const std::uint16_t quick = fast[bits.peek(kFast)];
    if (quick) {
      bits.drop(quick >> 9);
      return quick & 511;
    }
    int code = 0, first = 0, index = 0;
    std::uint32_t word = bits.peek(kMaxBits);
    for (int length = 1; length <= kMaxBits; ++length, word >>= 1) {
      code |= static_cast<int>(word & 1);
      const int n = count[length];
      if (code - first < n) {
        bits.drop(length);
        return symbol[index + code - first];
      }
      index += n;
      first = (first + n) << 1;
      code <<= 1;
    }
    return -1;
  }
};

constexpr std::uint16_t kLengthBase[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                           31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
constexpr Byte kLengthExtra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                   2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
constexpr std::uint16_t kDistanceBase[30] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                             33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                             1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
constexpr Byte kDistanceExtra[30] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                     6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

Inflated block(Bits& bits, const Code& literals, const Code& distances, std::vector<Byte>& out, std::uint64_t limit) {
  for (;;) {
    if (out.size() >= limit) return Inflated::limited;
    int symbol = literals.decode(bits);
    if (symbol < 0 || bits.overrun()) return Inflated::damaged;
    if (symbol < 256) {
      out.push_back(static_cast<Byte>(symbol));
      continue;
    }
    if (symbol == 256) return Inflated::whole;
    symbol -= 257;
    if (symbol >= 29) return Inflated::damaged;
    const std::uint64_t length = kLengthBase[symbol] + bits.take(kLengthExtra[symbol]);
    const int far = distances.decode(bits);
    if (far < 0 || far >= 30) return Inflated::damaged;
    const std::uint64_t distance = kDistanceBase[far] + bits.take(kDistanceExtra[far]);
    if (distance > out.size() || bits.overrun()) return Inflated::damaged;
    std::uint64_t from = out.size() - distance;
    for (std::uint64_t i = 0; i < length; ++i) out.push_back(out[from++]);
  }
}

bool dynamic_codes(Bits& bits, Code& literals, Code& distances) {
  static constexpr Byte kOrder[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  const int n_literals = static_cast<int>(bits.take(5)) + 257, n_distances = static_cast<int>(bits.take(5)) + 1;
  const int n_lengths = static_cast<int>(bits.take(4)) + 4;
  if (n_literals > 286 || n_distances > 30) return false;
  Byte lengths[320] = {0};
  for (int i = 0; i < n_lengths; ++i) lengths[kOrder[i]] = static_cast<Byte>(bits.take(3));
  if (!literals.build(lengths, 19, false)) return false;
  Byte all[320] = {0};
  for (int i = 0; i < n_literals + n_distances;) {
    const int symbol = literals.decode(bits);
    if (symbol < 0 || bits.overrun()) return false;
    if (symbol < 16) {
      all[i++] = static_cast<Byte>(symbol);
      continue;
    }
    Byte previous = 0;
    int repeat;
    if (symbol == 16) {
      if (i == 0) return false;
      previous = all[i - 1];
      repeat = 3 + static_cast<int>(bits.take(2));
    } else {
      repeat = symbol == 17 ? 3 + static_cast<int>(bits.take(3)) : 11 + static_cast<int>(bits.take(7));
    }
    if (i + repeat > n_literals + n_distances) return false;
    while (repeat--) all[i++] = previous;
  }
  if (all[256] == 0) return false;
  return literals.build(all, n_literals, true) && distances.build(all + n_literals, n_distances, true);
}

}  // namespace

Inflated inflate(const Byte* in, std::uint64_t size, std::vector<Byte>& out, std::uint64_t limit) {
  Bits bits(in, size);
  Code literals, distances;
  for (;;) {
    const bool last = bits.take(1);
    const std::uint32_t type = bits.take(2);
    if (bits.overrun() || type == 3) return Inflated::damaged;
    if (type == 0) {
      bits.align();
      if (bits.left() < 4) return Inflated::damaged;
      const std::uint64_t length = load16(bits.here(), false);
      if ((length ^ 0xFFFF) != load16(bits.here() + 2, false) || bits.left() - 4 < length) return Inflated::damaged;
      const std::uint64_t room = out.size() < limit ? limit - out.size() : 0;
      out.insert(out.end(), bits.here() + 4, bits.here() + 4 + std::min(length, room));
      if (length > room) return Inflated::limited;
      bits.skip(4 + length);
    } else {
      if (type == 1) {
        Byte lengths[288 + 30];
        for (int i = 0; i < 288; ++i) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
        std::memset(lengths + 288, 5, 30);
        literals.build(lengths, 288, false);
        distances.build(lengths + 288, 30, true);
      } else if (!dynamic_codes(bits, literals, distances)) {
        return Inflated::damaged;
      }
      const Inflated state = block(bits, literals, distances, out, limit);
      if (state != Inflated::whole) return state;
    }
    if (last) return Inflated::whole;
  }
}

}  // namespace fastimg::dicom
