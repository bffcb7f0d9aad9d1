#include "dicom/jpeg_stream.hpp"

#include <algorithm>

namespace fastimg::dicom {

bool JpegTable::build(const Byte* code_counts, const Byte* code_sizes, unsigned codes) {
  if (defined && !std::memcmp(counts, code_counts, 16) && !std::memcmp(sizes, code_sizes, codes)) return true;
  defined = false;
  std::uint32_t code = 0, index = 0;
  bits = 0;
  bound[0] = 0;
  std::fill_n(plain, kPlainCells, kNone);
  std::int16_t value[kCells];
  Byte taken[kCells] = {0};  // bits of a whole difference within the index, 0: it does not fit
  for (int length = 1; length <= 16; ++length) {
    first[length] = static_cast<std::int32_t>(index) - static_cast<std::int32_t>(code);
    for (unsigned i = 0; i < code_counts[length - 1]; ++i, ++code, ++index) {
      const unsigned size = code_sizes[index];
      if (size > 16 || code >= 1u << length) return false;
      bits += static_cast<double>(static_cast<unsigned>(length) + size) / (1u << length);
      if (size == 16) continue;  // no further bits
      const unsigned total = static_cast<unsigned>(length) + size;
      // What is added to code and bits as one number, where the first bit is 0 and where it is 1.
      const std::uint32_t set = 0u - (code << size), clear = set + 1 - (1u << size);
      if (length + (size > 0) <= kPlainBits && total <= kMost) {
        const unsigned begin = code << (kPlainBits - length), cells = 1u << (kPlainBits - length);
        for (unsigned at = 0; at < cells; ++at)
          plain[begin + at] = total | (size && at < cells / 2 ? clear : set) << 16;
      }
      if (total <= kBits) {
        const unsigned begin = code << (kBits - length), cells = 1u << (kBits - length);
        for (unsigned at = begin; at < begin + cells; ++at) {
          taken[at] = static_cast<Byte>(total);
          value[at] =
              static_cast<std::int16_t>((at >> (kBits - total)) + (size && at - begin < cells / 2 ? clear : set));
        }
      }
    }
    bound[length] = code << (16 - length);
    code <<= 1;
  }
  bound[17] = ~0u;
  for (unsigned at = 0; at < kCells; ++at) {
    Multi cell = 0;
    unsigned used = 0, n = 0;
    for (unsigned next = at; n < 3 && taken[next] && used + taken[next] <= kBits; ++n) {
      cell |= static_cast<Multi>(static_cast<std::uint16_t>(value[next])) << (16 * n);
      used += taken[next];
      next = at << used & (kCells - 1);
    }
    multi[at] = cell | static_cast<Multi>(n) << 48 | static_cast<Multi>(used) << 56;
  }
  std::memcpy(counts, code_counts, 16);
  std::memcpy(sizes, code_sizes, codes);
  return defined = true;
}

std::int16_t JpegStream::slow() {
  refill();
  const auto prefix = static_cast<std::uint32_t>(bits >> 48);
  int length = 1;
  while (length <= 16 && prefix >= table->bound[length]) ++length;
  if (length > 16) {
    bad = true;
    bits <<= 1;  // something is taken each time, so that a damaged stream ends
    count -= 1;
    return 0;
  }
  const unsigned size = table->sizes[table->first[length] + static_cast<std::int32_t>(prefix >> (16 - length))];
  bits <<= length;
  count -= static_cast<unsigned>(length);
  if (size == 0) return 0;
  if (size == 16) return -32768;
  const auto value = static_cast<std::int32_t>(bits >> (64 - size));
  const std::int32_t difference = bits >> 63 ? value : value + 1 - (1 << size);
  bits <<= size;
  count -= size;
  return static_cast<std::int16_t>(difference);
}

}  // namespace fastimg::dicom
