// Stored values to the output's type, a run at a time: atoms in kernels/fastimg/rescale.cuh.
#pragma once

#include <cstdint>

#include "cpu/isa.hpp"

namespace fastimg::dicom {

enum class Type : std::int32_t { i8, u8, i16, u16, i32, u32, i64, u64, f32, f64 };

constexpr unsigned size_of(Type type) {
  constexpr unsigned sizes[] = {1, 1, 2, 2, 4, 4, 8, 8, 4, 8};
  return sizes[static_cast<int>(type)];
}

struct Rescale {
  int left = 0, right = 0;  // bit shifts, see stored_bits
  double slope = 1, intercept = 0;
};

// in and out hold `count` values and do not overlap.
using RescaleRow = void (*)(const void* in, void* out, std::int64_t count, const Rescale& how);

struct RescaleTable {
  RescaleRow to_f32[10];        // by input type: (float)(v * slope + intercept)
  RescaleRow to_f32_whole[10];  // the same in float32; 8- and 16-bit inputs only, others null
  RescaleRow to_whole[10][8];   // by input and output type: exact integers; the caller knows that they fit
};
FASTIMG_DECLARE_TABLE(RescaleTable, rescale_table)

// Picks the fastest row that gives the right bits. Integer outputs need whole slope and intercept. `past_caches`: for
// outputs that no cache holds anyway, float32 values are written without reading their lines first.
void rescale(const void* in, Type from, void* out, Type to, std::int64_t count, const Rescale& how,
             bool past_caches = false);

}  // namespace fastimg::dicom
