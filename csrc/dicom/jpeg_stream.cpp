#include "dicom/jpeg_stream.hpp"

namespace fastimg::dicom {

bool JpegTable::build(const Byte* code_counts, const Byte* code_sizes, unsigned codes) {
  if (defined && !std::memcmp(counts, code_counts, 16) && !std::memcmp(sizes, code_sizes, codes)) return true;
  defined = false;
  std::uint32_t code = 0, index = 0;
  double bits = 0;  // of a difference, were codes and data made for each other
  bound[0] = 0;
  std::memset(plain, 0, sizeof plain);
  for (int length = 1; length <= 16; ++length) {
    first[length] = static_cast<std::int32_t>(index) - static_cast<std::int32_t>(code);
    for (unsigned i = 0; i < code_counts[length - 1]; ++i, ++code, ++index) {
      const unsigned size = code_sizes[index];
      if (size > 16 || code >= 1u << length) return false;
      bits += static_cast<double>(static_cast<unsigned>(length) + size) / (1u << length);
      const int total = length + static_cast<int>(size);
      if (length + (size > 0) > kBits || total > kMost || size == 16) continue;  // size 16 has no further bits
      const unsigned begin = code << (kBits - length), half = 1u << (kBits - length) >> 1;
      for (unsigned at = 0; at < 2 * half + (half == 0); ++at)
        plain[begin + at] = {static_cast<std::uint8_t>(total), static_cast<std::uint8_t>(size),
                             static_cast<std::int16_t>(at < half ? 1 - (1 << size) : 0)};
    }
    bound[length] = code << (16 - length);
    code <<= 1;
  }
  bound[17] = ~0u;
  std::int16_t value[kCells];
  Byte taken[kCells];
  for (unsigned at = 0; at < kCells; ++at) {
    const Plain cell = plain[at];
    taken[at] = cell.total && cell.total <= kBits ? cell.total : 0;
    if (!taken[at]) continue;
    value[at] = static_cast<std::int16_t>((at >> (kBits - cell.total) & ((1u << cell.size) - 1)) +
                                          static_cast<unsigned>(cell.base));
  }
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
  several = bits < 8.5;
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
