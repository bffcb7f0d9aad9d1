#include "resampling/prefilter.hpp"

#include <algorithm>

#include "cpu/aligned.hpp"
#include "fastimg/bspline.cuh"

namespace fastimg::resampling {
namespace {

const PrefilterTable<float>& table_of(const float*) { return FASTIMG_PICK(float_prefilter); }
const PrefilterTable<double>& table_of(const double*) { return FASTIMG_PICK(double_prefilter); }
Pole<float> unscaled(Pole<float> pole) { return pole.gain = 1, pole.intake.on = 0, pole; }
Pole<double> unscaled(Pole<double> pole) { return pole.gain = 1, pole.intake.on = 0, pole; }

// Lines of n samples `stride` values apart, `count` of them side by side; block after block, so that in place works:
// the samples before a block that its run-in needs are kept aside.
template <class C>
class Columns {
 public:
  Columns(const PrefilterTable<C>& table, Kind from, const Pole<C>& pole)
      : down_(table.down[static_cast<int>(from)]),
        size_(kSizes[static_cast<int>(from)]),
        pole_(pole),
        scratch_(cpu::aligned<C>((kSplineBlock + 2 * pole.horizon) * kWide)) {}

  void run(const char* in, C* out, std::int64_t n, std::int64_t stride, std::int64_t count) {
    const std::int64_t blocks = (n + kSplineBlock - 1) / kSplineBlock, horizon = pole_.horizon;
    const bool same = static_cast<const void*>(in) == static_cast<const void*>(out);
    if (same && blocks > 1) {  // later blocks need samples that earlier ones would have overwritten
      if (!kept_ || kept_size_ < n * kWide) kept_ = cpu::aligned<C>(kept_size_ = n * kWide);
      for (std::int64_t r = 0; r < n; ++r) std::copy_n(out + r * stride, count, kept_.get() + r * kWide);
    }
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::int64_t first = b * kSplineBlock, length = std::min<std::int64_t>(kSplineBlock, n - first);
      rows_.resize(length + 2 * horizon);
      to_.resize(length);
      for (std::int64_t r = 0; r < length + 2 * horizon; ++r) {
        const std::int64_t at = fastimg::mirrored(first - horizon + r, n);
        rows_[r] = same && blocks > 1 ? static_cast<const void*>(kept_.get() + at * kWide) : in + at * stride * size_;
      }
      for (std::int64_t r = 0; r < length; ++r) to_[r] = out + (first + r) * stride;
      down_(rows_.data(), to_.data(), length, count, pole_, scratch_.get());
    }
  }

 private:
  void (*down_)(const void* const*, C* const*, std::int64_t, std::int64_t, const Pole<C>&, C*);
  std::int64_t size_;
  Pole<C> pole_;
  cpu::Aligned<C> scratch_, kept_;
  std::int64_t kept_size_ = 0;
  std::vector<const void*> rows_;
  std::vector<C*> to_;
};

}  // namespace

template <class C>
void prefilter(const void* in, Kind from, C* out, std::int64_t z, std::int64_t y, std::int64_t x, const Pole<C>& pole,
               int threads) {
  const PrefilterTable<C>& table = table_of(static_cast<const C*>(nullptr));
  const std::int64_t plane = y * x, size = kSizes[static_cast<int>(from)], parts = (x + kWide - 1) / kWide;
  const Kind own = sizeof(C) == 4 ? Kind::f32 : Kind::f64;
  cpu::parallel_for(y, 1, threads, [&](std::int64_t begin, std::int64_t end) {
    Columns<C> columns(table, from, pole);
    for (std::int64_t j = begin; j < end; ++j)
      for (std::int64_t part = 0; part < parts; ++part) {
        const std::int64_t i = part * kWide;
        columns.run(static_cast<const char*>(in) + (j * x + i) * size, out + j * x + i, z, plane,
                    std::min(kWide, x - i));
      }
  });
  const Pole<C> rest = unscaled(pole);
  cpu::parallel_for(z, 4, threads, [&](std::int64_t begin, std::int64_t end) {
    Columns<C> columns(table, own, rest);
    const auto half = cpu::aligned<C>(plane);  // the plane between both passes
    const auto scratch = cpu::aligned<C>((2 * x + kSplineBlock + 2 * pole.horizon) * kWide);
    for (std::int64_t k = begin; k < end; ++k) {
      C* const here = out + k * plane;
      for (std::int64_t part = 0; part < parts; ++part) {
        const std::int64_t i = part * kWide;
        columns.run(reinterpret_cast<const char*>(here + i), half.get() + i, y, x, std::min(kWide, x - i));
      }
      for (std::int64_t j = 0; j < y; j += kWide)
        table.across(half.get() + j * x, here + j * x, x, x, std::min(kWide, y - j), rest, scratch.get());
    }
  });
}

template void prefilter(const void*, Kind, float*, std::int64_t, std::int64_t, std::int64_t, const Pole<float>&, int);
template void prefilter(const void*, Kind, double*, std::int64_t, std::int64_t, std::int64_t, const Pole<double>&, int);

}  // namespace fastimg::resampling
