// Numbers out of bytes, whatever their order and alignment.
#pragma once

#include <cstdint>
#include <cstring>

namespace fastimg::dicom {

using Byte = std::uint8_t;

inline std::uint16_t load16(const Byte* p, bool big) {
  std::uint16_t v;
  std::memcpy(&v, p, 2);
  return big ? __builtin_bswap16(v) : v;
}
inline std::uint32_t load32(const Byte* p, bool big) {
  std::uint32_t v;
  std::memcpy(&v, p, 4);
  return big ? __builtin_bswap32(v) : v;
}
inline std::uint64_t load64(const Byte* p, bool big) {
  std::uint64_t v;
  std::memcpy(&v, p, 8);
  return big ? __builtin_bswap64(v) : v;
}

// Whether [offset, offset + length) lies in [0, size), without overflow.
inline bool within(std::uint64_t offset, std::uint64_t length, std::uint64_t size) {
  return offset <= size && length <= size - offset;
}

}  // namespace fastimg::dicom
