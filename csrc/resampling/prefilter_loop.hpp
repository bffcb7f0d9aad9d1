// Included once in each level's region: no include guard, no standard header.
#include "fastimg/bspline.cuh"

namespace fastimg::resampling::FASTIMG_LEVEL {
namespace {

// Both recursions over `rows`, `count` lines side by side; scratch holds the forward one.
template <class T, bool take = false, class C, class Row, class Out>
FASTIMG_ATOM void recursions(Row row, Out out, std::int64_t length, std::int64_t count, const Pole<C>& p, C* scratch) {
  const std::int64_t total = length + 2 * p.horizon;
  const C pole = p.pole, gain = p.gain;
  const fastimg::Intake<C> t = p.intake;
  const auto value = [&](T v) { return take ? fastimg::taken(static_cast<C>(v), t) : static_cast<C>(v); };
  {
    const T* __restrict s = row(0);
    for (std::int64_t i = 0; i < count; ++i) scratch[i] = fastimg::forward_start(value(s[i]) * gain, p.start);
  }
  for (std::int64_t r = 1; r < total; ++r) {
    const T* __restrict s = row(r);
    const C* __restrict before = scratch + (r - 1) * kWide;
    C* __restrict here = scratch + r * kWide;
    for (std::int64_t i = 0; i < count; ++i) here[i] = fastimg::forward(value(s[i]) * gain, before[i], pole);
  }
  C* const last = scratch + (total - 1) * kWide;
  for (std::int64_t i = 0; i < count; ++i) last[i] = fastimg::backward_start(last[i], p.end);
  for (std::int64_t r = total - 2; r >= p.horizon; --r) {
    const C* __restrict after = scratch + (r + 1) * kWide;
    C* __restrict here = scratch + r * kWide;
    for (std::int64_t i = 0; i < count; ++i) here[i] = fastimg::backward(here[i], after[i], pole);
    if (r < p.horizon + length) out(r - p.horizon, here);
  }
}

template <class T, class C>
void down(const void* const* rows, C* const* out, std::int64_t length, std::int64_t count, const Pole<C>& pole,
          C* scratch) {
  const std::int64_t total = length + 2 * pole.horizon, bytes = count * static_cast<std::int64_t>(sizeof(T));
  const auto row = [=](std::int64_t r) {  // rows lie a plane apart: the hardware does not foresee them
    const char* const soon = static_cast<const char*>(rows[r + 8 < total ? r + 8 : r]);
    for (std::int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(soon + i);
    return static_cast<const T*>(rows[r]);
  };
  const auto put = [out, count](std::int64_t r, const C* __restrict from) {
    C* __restrict to = out[r];
    for (std::int64_t i = 0; i < count; ++i) to[i] = from[i];
  };
  if (pole.intake.on)
    recursions<T, true>(row, put, length, count, pole, scratch);
  else if (count == kWide)
    recursions<T>(row, put, length, kWide, pole, scratch);
  else
    recursions<T>(row, put, length, count, pole, scratch);
}

template <class C>
FASTIMG_ATOM void turn_plain(const C* from, std::int64_t from_stride, C* to, std::int64_t to_stride, std::int64_t rows,
                             std::int64_t columns) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) to[c * to_stride + r] = from[r * from_stride + c];
}

#ifdef FASTIMG_AVX512
// 16 x 16 floats turned in registers.
FASTIMG_ATOM void turn_16(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride) {
  __m512 a[16], b[16];
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) a[r] = _mm512_loadu_ps(from + r * from_stride);
#pragma GCC unroll 8
  for (int r = 0; r < 16; r += 2) {
    b[r] = _mm512_unpacklo_ps(a[r], a[r + 1]);
    b[r + 1] = _mm512_unpackhi_ps(a[r], a[r + 1]);
  }
#pragma GCC unroll 4
  for (int r = 0; r < 16; r += 4) {
    a[r] = _mm512_shuffle_ps(b[r], b[r + 2], 0x44);
    a[r + 1] = _mm512_shuffle_ps(b[r], b[r + 2], 0xee);
    a[r + 2] = _mm512_shuffle_ps(b[r + 1], b[r + 3], 0x44);
    a[r + 3] = _mm512_shuffle_ps(b[r + 1], b[r + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r) {
    b[r] = _mm512_shuffle_f32x4(a[r], a[r + 4], 0x88);
    b[r + 4] = _mm512_shuffle_f32x4(a[r], a[r + 4], 0xdd);
    b[r + 8] = _mm512_shuffle_f32x4(a[r + 8], a[r + 12], 0x88);
    b[r + 12] = _mm512_shuffle_f32x4(a[r + 8], a[r + 12], 0xdd);
  }
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r) {
    _mm512_storeu_ps(to + r * to_stride, _mm512_shuffle_f32x4(b[r], b[r + 8], 0x88));
    _mm512_storeu_ps(to + (r + 8) * to_stride, _mm512_shuffle_f32x4(b[r], b[r + 8], 0xdd));
    _mm512_storeu_ps(to + (r + 4) * to_stride, _mm512_shuffle_f32x4(b[r + 4], b[r + 12], 0x88));
    _mm512_storeu_ps(to + (r + 12) * to_stride, _mm512_shuffle_f32x4(b[r + 4], b[r + 12], 0xdd));
  }
}
#endif

// to[c][r] = from[r][c]
void turn(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride, std::int64_t rows,
          std::int64_t columns) {
  std::int64_t whole = 0;
#ifdef FASTIMG_AVX512
  const std::int64_t down_to = rows / 16 * 16;
  whole = columns / 16 * 16;
  for (std::int64_t c = 0; c < whole; c += 16) {
    for (std::int64_t r = 0; r < down_to; r += 16)
      turn_16(from + r * from_stride + c, from_stride, to + c * to_stride + r, to_stride);
    turn_plain(from + down_to * from_stride + c, from_stride, to + c * to_stride + down_to, to_stride, rows - down_to,
               16);
  }
#endif
  turn_plain(from + whole, from_stride, to + whole * to_stride, to_stride, rows, columns - whole);
}
void turn(const double* from, std::int64_t from_stride, double* to, std::int64_t to_stride, std::int64_t rows,
          std::int64_t columns) {
  for (std::int64_t c = 0; c < columns; c += 8) {
    const std::int64_t part = columns - c < 8 ? columns - c : 8;
    turn_plain(from + c, from_stride, to + c * to_stride, to_stride, rows, part);
  }
}

template <class C>
void across(const C* rows, C* out, std::int64_t stride, std::int64_t n, std::int64_t count, const Pole<C>& pole,
            C* scratch) {
  C* const turned = scratch;           // sample after sample, kWide rows side by side
  C* const done = turned + n * kWide;  // the coefficients, likewise
  C* const work = done + n * kWide;
  turn(rows, stride, turned, kWide, count, n);
  for (std::int64_t first = 0; first < n; first += fastimg::kSplineBlock) {
    const std::int64_t left = n - first, length = left < fastimg::kSplineBlock ? left : fastimg::kSplineBlock;
    const auto row = [&](std::int64_t r) {
      return static_cast<const C*>(turned + fastimg::mirrored(first - pole.horizon + r, n) * kWide);
    };
    const auto put = [&](std::int64_t r, const C* __restrict from) {
      C* __restrict to = done + (first + r) * kWide;
      for (std::int64_t i = 0; i < kWide; ++i) to[i] = from[i];
    };
    if (count == kWide)
      recursions<C>(row, put, length, kWide, pole, work);
    else
      recursions<C>(row, put, length, count, pole, work);
  }
  turn(done, kWide, out, stride, n, count);
}

}  // namespace

extern const PrefilterTable<float> float_prefilter;
extern const PrefilterTable<double> double_prefilter;
const PrefilterTable<float> float_prefilter = {{down<i8, float>, down<u8, float>, down<i16, float>, down<u16, float>,
                                                nullptr, nullptr, nullptr, nullptr, down<float, float>, nullptr},
                                               across<float>};
const PrefilterTable<double> double_prefilter = {
    {down<i8, double>, down<u8, double>, down<i16, double>, down<u16, double>, down<i32, double>, down<u32, double>,
     down<i64, double>, down<u64, double>, down<float, double>, down<double, double>},
    across<double>};

}  // namespace fastimg::resampling::FASTIMG_LEVEL
