#include "harmonize/map.hpp"

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "cpu/past.hpp"

namespace fastimg::harmonize {
namespace {

constexpr std::int64_t kGrain = 1 << 16;

#define FASTIMG_FIELD(T, name)                                                    \
  AffineRow<T> affine_of(const MapTable& t, const T*) { return t.affine_##name; } \
  PiecewiseRow<T> piecewise_of(const MapTable& t, const T*) { return t.piecewise_##name; }
FASTIMG_EACH_MAPPED(FASTIMG_FIELD)
#undef FASTIMG_FIELD

// A bucket never falls where x grows, whatever is rounded: knots of lower buckets are not above x, those of higher ones
// are.
class Search {
 public:
  explicit Search(const Knots& knots) {
    if (knots.count <= 16) return;
    int finite = 1;
    while (std::isfinite(knots.knot[finite])) ++finite;
    view_.low = knots.knot[1];
    view_.scale = kBuckets / (knots.knot[finite - 1] - view_.low);
    std::vector<std::int32_t> own(kBuckets, 0);
    for (int k = 1; k <= finite; ++k) {  // with one infinity: an infinite x is above it
      const float place = (knots.knot[k] - view_.low) * view_.scale, above = place > 0.0f ? place : 0.0f;
      ++own[static_cast<std::size_t>(above < view_.last ? above : view_.last)];
    }
    for (const std::int32_t count : own)
      while (2 * view_.step <= count) view_.step = view_.step ? 2 * view_.step : 1;
    start_.resize(kBuckets, 0);
    std::partial_sum(own.begin(), own.end() - 1, start_.begin() + 1);
    knot_.assign(knots.knot, knots.knot + knots.count);
    knot_.resize(knot_.size() + 2 * static_cast<std::size_t>(view_.step), std::numeric_limits<float>::infinity());
    view_.start = start_.data();
    view_.knot = knot_.data();
  }
  const Buckets& view() const { return view_; }

 private:
  static constexpr int kBuckets = 4096;
  std::vector<std::int32_t> start_;
  std::vector<float> knot_;
  Buckets view_{nullptr, nullptr, 0.0f, 0.0f, kBuckets - 1, 0};
};

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
  const Search search(knots);
  each(out, count, threads,
       [&, row](std::int64_t at, float* to, std::int64_t n) { row(in + at, to, n, knots, search.view()); });
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
