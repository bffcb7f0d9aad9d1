#include "harmonize/map.hpp"

#include <limits>

#include "cpu/past.hpp"

namespace fastimg::harmonize {
namespace {

constexpr std::int64_t kGrain = 1 << 16;

#define FASTIMG_FIELD(T, name)                                                    \
  AffineRow<T> affine_of(const MapTable& t, const T*) { return t.affine_##name; } \
  PiecewiseRow<T> piecewise_of(const MapTable& t, const T*) { return t.piecewise_##name; }
FASTIMG_EACH_MAPPED(FASTIMG_FIELD)
#undef FASTIMG_FIELD

template <class Row>
void each(float* out, std::int64_t count, int threads, Row row) {
  const bool past = count * static_cast<std::int64_t>(sizeof(float)) >= cpu::kPastCaches;
  cpu::parallel_for(count, kGrain, threads,
                    [&](std::int64_t begin, std::int64_t end) { cpu::fill_past(out, begin, end, past, row); });
}

}  // namespace

template <class T>
void affine(const T* in, float* out, std::int64_t count, float shift, float scale, int threads) {
  const auto row = affine_of(FASTIMG_PICK(map_table), in);
  each(out, count, threads, [=](std::int64_t at, float* to, std::int64_t n) { row(in + at, to, n, shift, scale); });
}

template <class T>
void piecewise(const T* in, float* out, std::int64_t count, const Knots& knots, int threads) {
  const auto row = piecewise_of(FASTIMG_PICK(map_table), in);
  each(out, count, threads, [=, &knots](std::int64_t at, float* to, std::int64_t n) { row(in + at, to, n, knots); });
}

template <class T>
void lookup(const T* in, float* out, std::int64_t count, const float* table, int threads) {
  each(out, count, threads, [=](std::int64_t at, float* to, std::int64_t n) {
    const float* const zero = table - static_cast<int>(std::numeric_limits<T>::min());
    for (std::int64_t i = 0; i < n; ++i) to[i] = zero[in[at + i]];
  });
}

#define FASTIMG_FIELD(T, name)                                             \
  template void affine(const T*, float*, std::int64_t, float, float, int); \
  template void piecewise(const T*, float*, std::int64_t, const Knots&, int);
FASTIMG_EACH_MAPPED(FASTIMG_FIELD)
#undef FASTIMG_FIELD
template void lookup(const std::int8_t*, float*, std::int64_t, const float*, int);
template void lookup(const std::uint8_t*, float*, std::int64_t, const float*, int);
template void lookup(const std::int16_t*, float*, std::int64_t, const float*, int);
template void lookup(const std::uint16_t*, float*, std::int64_t, const float*, int);

}  // namespace fastimg::harmonize
