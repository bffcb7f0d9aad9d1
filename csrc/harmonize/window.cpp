#include "harmonize/window.hpp"

#include <atomic>

#include "cpu/past.hpp"

namespace fastimg::harmonize {
namespace {

constexpr std::int64_t kGrain = 1 << 16;  // voxels a chunk: in + out fit the second-level cache

WindowRow<std::int8_t> row_of(const WindowTable& t, const std::int8_t*) { return t.i8; }
WindowRow<std::uint8_t> row_of(const WindowTable& t, const std::uint8_t*) { return t.u8; }
WindowRow<std::int16_t> row_of(const WindowTable& t, const std::int16_t*) { return t.i16; }
WindowRow<std::uint16_t> row_of(const WindowTable& t, const std::uint16_t*) { return t.u16; }
WindowRow<std::int32_t> row_of(const WindowTable& t, const std::int32_t*) { return t.i32; }
WindowRow<float> row_of(const WindowTable& t, const float*) { return t.f32; }
WindowRow<double> row_of(const WindowTable& t, const double*) { return t.f64; }

}  // namespace

template <class T>
bool window(const T* in, float* out, std::int64_t count, float low, float high, float scale, int threads) {
  const auto row = row_of(FASTIMG_PICK(window_table), in);
  const bool past = count * static_cast<std::int64_t>(sizeof(float)) >= cpu::kPastCaches;
  std::atomic<bool> holes{false};
  cpu::parallel_for(count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
    bool seen = false;
    cpu::fill_past(out, begin, end, past,
                   [&](std::int64_t at, float* to, std::int64_t n) { seen |= row(in + at, to, n, low, high, scale); });
    if (seen) holes.store(true, std::memory_order_relaxed);
  });
  return holes.load();
}

template bool window(const std::int8_t*, float*, std::int64_t, float, float, float, int);
template bool window(const std::uint8_t*, float*, std::int64_t, float, float, float, int);
template bool window(const std::int16_t*, float*, std::int64_t, float, float, float, int);
template bool window(const std::uint16_t*, float*, std::int64_t, float, float, float, int);
template bool window(const std::int32_t*, float*, std::int64_t, float, float, float, int);
template bool window(const float*, float*, std::int64_t, float, float, float, int);
template bool window(const double*, float*, std::int64_t, float, float, float, int);

}  // namespace fastimg::harmonize
