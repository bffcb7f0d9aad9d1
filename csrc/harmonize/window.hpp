// Intensity window over a run of voxels: atom in kernels/fastimg/window.cuh.
#pragma once

#include <cstdint>

#include "cpu/pool.hpp"

namespace fastimg::harmonize {

// True where a value is NaN.
template <class T>
using WindowRow = bool (*)(const T* in, float* out, std::int64_t count, float low, float high, float scale);

struct WindowTable {
  WindowRow<std::int8_t> i8;
  WindowRow<std::uint8_t> u8;
  WindowRow<std::int16_t> i16;
  WindowRow<std::uint16_t> u16;
  WindowRow<std::int32_t> i32;
  WindowRow<float> f32;
  WindowRow<double> f64;
};
FASTIMG_DECLARE_TABLE(WindowTable, window_table)

// in and out hold `count` values and do not overlap. 4 + sizeof(T) bytes of traffic a voxel, no others. True where a
// value is NaN; it stays NaN.
template <class T>
bool window(const T* in, float* out, std::int64_t count, float low, float high, float scale, int threads);

}  // namespace fastimg::harmonize
