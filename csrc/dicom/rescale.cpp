#include "dicom/rescale.hpp"

#include <cmath>
#include <cstring>
#include <stdexcept>

#include "cpu/past.hpp"
#include "cpu/pool.hpp"

namespace fastimg::dicom {
namespace {

bool whole(double value) { return std::nearbyint(value) == value && std::abs(value) < 9e15; }

// Every value on the way is a whole number below 2^24.
bool exact_in_float(Type from, const Rescale& how) {
  const double largest = size_of(from) == 1 ? 255 : 65535;
  return whole(how.slope) && whole(how.intercept) && std::abs(how.slope) * largest + std::abs(how.intercept) < 16777216;
}

}  // namespace

void rescale(const void* in, Type from, void* out, Type to, std::int64_t count, const Rescale& how, bool past_caches) {
  if (from == to && how.left == 0 && how.right == 0 && how.slope == 1 && how.intercept == 0) {
    std::memcpy(out, in, static_cast<std::size_t>(count) * size_of(to));
    return;
  }
  const RescaleTable& table = FASTIMG_PICK(rescale_table);
  const int f = static_cast<int>(from), t = static_cast<int>(to);
  if (to == Type::f32) {
    const RescaleRow quick = table.to_f32_whole[f];
    const RescaleRow row = quick && exact_in_float(from, how) ? quick : table.to_f32[f];
    const char* const source = static_cast<const char*>(in);
    cpu::fill_past(static_cast<float*>(out), 0, count, past_caches, [&](std::int64_t at, float* place, std::int64_t n) {
      row(source + at * size_of(from), place, n, how);
    });
    return;
  }
  const RescaleRow row = to == Type::f64 ? nullptr : table.to_whole[f][t];
  if (!row || !whole(how.slope) || !whole(how.intercept))
    throw std::invalid_argument("rescale: no exact integer result");
  row(in, out, count, how);
}

}  // namespace fastimg::dicom
