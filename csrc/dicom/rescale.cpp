#include "dicom/rescale.hpp"

#include <cmath>
#include <cstring>
#include <stdexcept>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "cpu/pool.hpp"

namespace fastimg::dicom {
namespace {

bool whole(double value) { return std::nearbyint(value) == value && std::abs(value) < 9e15; }

// Every value on the way is a whole number below 2^24.
bool exact_in_float(Type from, const Rescale& how) {
  const double largest = size_of(from) == 1 ? 255 : 65535;
  return whole(how.slope) && whole(how.intercept) && std::abs(how.slope) * largest + std::abs(how.intercept) < 16777216;
}

#ifdef __SSE2__
// By way of a small block: the rows know nothing of it.
void write_past_caches(RescaleRow row, const char* in, unsigned width, float* out, std::int64_t count,
                       const Rescale& how) {
  constexpr std::int64_t kBlock = 2048;
  alignas(64) float block[kBlock];
  for (std::int64_t at = 0; at < count; at += kBlock) {
    const std::int64_t n = count - at < kBlock ? count - at : kBlock;
    row(in + at * width, block, n, how);
    std::int64_t i = 0;
    for (; i + 4 <= n; i += 4) _mm_stream_ps(out + at + i, _mm_load_ps(block + i));
    for (; i < n; ++i) out[at + i] = block[i];
  }
  _mm_sfence();
}
#endif

}  // namespace

void rescale(const void* in, Type from, void* out, Type to, std::int64_t count, const Rescale& how,
             [[maybe_unused]] bool past_caches) {
  if (from == to && how.left == 0 && how.right == 0 && how.slope == 1 && how.intercept == 0) {
    std::memcpy(out, in, static_cast<std::size_t>(count) * size_of(to));
    return;
  }
  const RescaleTable& table = FASTIMG_PICK(rescale_table);
  const int f = static_cast<int>(from), t = static_cast<int>(to);
  if (to == Type::f32) {
    const RescaleRow quick = table.to_f32_whole[f];
    const RescaleRow row = quick && exact_in_float(from, how) ? quick : table.to_f32[f];
#ifdef __SSE2__
    if (past_caches && reinterpret_cast<std::uintptr_t>(out) % 16 == 0)
      return write_past_caches(row, static_cast<const char*>(in), size_of(from), static_cast<float*>(out), count, how);
#endif
    row(in, out, count, how);
    return;
  }
  const RescaleRow row = to == Type::f64 ? nullptr : table.to_whole[f][t];
  if (!row || !whole(how.slope) || !whole(how.intercept))
    throw std::invalid_argument("rescale: no exact integer result");
  row(in, out, count, how);
}

}  // namespace fastimg::dicom
