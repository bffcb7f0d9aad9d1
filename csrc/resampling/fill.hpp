// One voxel of 1, 2, 4 or 8 bytes, written many times.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace fastimg::resampling {

template <class T>
inline void fill_as(char* place, const void* voxel, std::int64_t count) {
  T value;
  std::memcpy(&value, voxel, sizeof value);
  std::fill_n(reinterpret_cast<T*>(place), count, value);
}

inline void fill_with(char* place, const void* voxel, std::int64_t size, std::int64_t count) {
  if (count <= 0) return;
  switch (size) {
    case 1:
      return fill_as<std::uint8_t>(place, voxel, count);
    case 2:
      return fill_as<std::uint16_t>(place, voxel, count);
    case 4:
      return fill_as<std::uint32_t>(place, voxel, count);
    default:
      return fill_as<std::uint64_t>(place, voxel, count);
  }
}

// f(voxel): with an unsigned type of that many bytes.
template <class F>
inline void with_size(std::int64_t size, F f) {
  switch (size) {
    case 1:
      return f(std::uint8_t{});
    case 2:
      return f(std::uint16_t{});
    case 4:
      return f(std::uint32_t{});
    default:
      return f(std::uint64_t{});
  }
}

}  // namespace fastimg::resampling
