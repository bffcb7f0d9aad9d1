// Included once in each level's region: no include guard, no standard header.
#include "fastimg/window.cuh"

namespace fastimg::harmonize::FASTIMG_LEVEL {
namespace {

template <class T>
bool window_row(const T* __restrict in, float* __restrict out, std::int64_t count, float low, float high, float scale) {
  int seen = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const float x = static_cast<float>(in[i]);
    seen |= x != x;
    out[i] = fastimg::window(x, low, high, scale);
  }
  return seen != 0;
}

}  // namespace

extern const WindowTable window_table;
const WindowTable window_table = {
    window_row<std::int8_t>,  window_row<std::uint8_t>, window_row<std::int16_t>, window_row<std::uint16_t>,
    window_row<std::int32_t>, window_row<float>,        window_row<double>,
};

}  // namespace fastimg::harmonize::FASTIMG_LEVEL
