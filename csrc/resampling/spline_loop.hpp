// Included once in each level's region: no include guard, no standard header.
#include "fastimg/bspline.cuh"

namespace fastimg::resampling::FASTIMG_LEVEL {
namespace {

// Both recursions of each pole over `total` rows, in place in `to`; `fixed` lines, or 0: `count`.
template <bool take, std::int64_t fixed, class T, class C>
FASTIMG_ATOM void recursions(const T* const* rows, std::int64_t at, std::int64_t total, std::int64_t count,
                             const Poles<C>& p, const fastimg::Intake<C>& intake, C* __restrict to, std::int64_t stride,
                             Ahead ahead) {
  const std::int64_t n = fixed ? fixed : count, each = (ahead.lines + total - 1) / total;
  const std::int64_t bytes = n * static_cast<std::int64_t>(sizeof(T));
  const fastimg::Intake<C> t = intake;
  const auto value = [&](T v) { return take ? fastimg::taken(static_cast<C>(v), t) : static_cast<C>(v); };
  C state[kWide];  // of the recursion, in registers where `fixed`
  std::int64_t low = 0, high = total;
  for (int step = 0; step < p.count; ++step) {
    const C pole = p.pole[step], start = p.start[step], end = p.end[step];
    for (std::int64_t r = low; r < high; ++r) {
      const T* __restrict s = rows[r] + at;
      C* __restrict here = to + r * stride;
      if (step == 0) {
        if (ahead.from) {
          const std::int64_t until = (r + 1) * each < ahead.lines ? (r + 1) * each : ahead.lines;
          for (std::int64_t line = r * each; line < until; ++line) __builtin_prefetch(ahead.from + line * 64, 0, 2);
        } else if (r + 8 < total) {
          const char* const soon = reinterpret_cast<const char*>(rows[r + 8] + at);
          for (std::int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(soon + i);
        }
      }
      if (r == low) {
        for (std::int64_t i = 0; i < n; ++i) {
          const C v = step == 0 ? value(s[i]) : here[i];
          here[i] = state[i] = fastimg::forward_start(v, start);
        }
      } else if (step == 0) {
        for (std::int64_t i = 0; i < n; ++i) here[i] = state[i] = fastimg::forward(value(s[i]), state[i], pole);
      } else {
        for (std::int64_t i = 0; i < n; ++i) here[i] = state[i] = fastimg::forward(here[i], state[i], pole);
      }
    }
    C* const last = to + (high - 1) * stride;
    for (std::int64_t i = 0; i < n; ++i) last[i] = state[i] = fastimg::backward_start(last[i], end);
    low += p.horizon[step];
    for (std::int64_t r = high - 2; r >= low; --r) {
      C* __restrict here = to + r * stride;
      for (std::int64_t i = 0; i < n; ++i) here[i] = state[i] = fastimg::backward(here[i], state[i], pole);
    }
    high -= p.horizon[step];
  }
}

template <class T, class C>
void filter(const void* const* rows, std::int64_t at, std::int64_t total, std::int64_t count, const Poles<C>& poles,
            const fastimg::Intake<C>& intake, C* to, std::int64_t stride, Ahead ahead) {
  const T* const* const from = reinterpret_cast<const T* const*>(rows);
  if (intake.on)
    recursions<true, 0>(from, at, total, count, poles, intake, to, stride, ahead);
  else if (count == kWide)
    recursions<false, kWide>(from, at, total, count, poles, intake, to, stride, ahead);
  else
    recursions<false, 0>(from, at, total, count, poles, intake, to, stride, ahead);
}

template <class C>
FASTIMG_ATOM void turn_plain(const C* from, std::int64_t from_stride, C* to, std::int64_t to_stride, std::int64_t rows,
                             std::int64_t columns) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c) to[c * to_stride + r] = from[r * from_stride + c];
}

#ifdef FASTIMG_AVX512
// 16 x 16 floats turned in registers.
template <bool past>
FASTIMG_ATOM void turn_16(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride) {
  const auto put = [to, to_stride](int r, __m512 v) {
    past ? _mm512_stream_ps(to + r * to_stride, v) : _mm512_storeu_ps(to + r * to_stride, v);
  };
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
    put(r, _mm512_shuffle_f32x4(b[r], b[r + 8], 0x88));
    put(r + 8, _mm512_shuffle_f32x4(b[r], b[r + 8], 0xdd));
    put(r + 4, _mm512_shuffle_f32x4(b[r + 4], b[r + 12], 0x88));
    put(r + 12, _mm512_shuffle_f32x4(b[r + 4], b[r + 12], 0xdd));
  }
}
#endif

// to[c][r] = from[r][c]
void turn(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride, std::int64_t rows,
          std::int64_t columns, [[maybe_unused]] bool past) {
  std::int64_t whole = 0;
#ifdef FASTIMG_AVX512
  const std::int64_t down_to = rows / 16 * 16;
  whole = columns / 16 * 16;
  past = past && to_stride % 16 == 0 && reinterpret_cast<std::uintptr_t>(to) % 64 == 0;
  for (std::int64_t c = 0; c < whole; c += 16) {
    for (std::int64_t r = 0; r < down_to; r += 16) {
      const float* const here = from + r * from_stride + c;
      float* const there = to + c * to_stride + r;
      past ? turn_16<true>(here, from_stride, there, to_stride) : turn_16<false>(here, from_stride, there, to_stride);
    }
    turn_plain(from + down_to * from_stride + c, from_stride, to + c * to_stride + down_to, to_stride, rows - down_to,
               16);
  }
#endif
  turn_plain(from + whole, from_stride, to + whole * to_stride, to_stride, rows, columns - whole);
}
void turn(const double* from, std::int64_t from_stride, double* to, std::int64_t to_stride, std::int64_t rows,
          std::int64_t columns, bool) {
  for (std::int64_t c = 0; c < columns; c += 8) {
    const std::int64_t part = columns - c < 8 ? columns - c : 8;
    turn_plain(from + c, from_stride, to + c * to_stride, to_stride, rows, part);
  }
}

}  // namespace

extern const SplineTable<float> float_spline;
extern const SplineTable<double> double_spline;
const SplineTable<float> float_spline = {{filter<i8, float>, filter<u8, float>, filter<i16, float>, filter<u16, float>,
                                          nullptr, nullptr, nullptr, nullptr, filter<float, float>, nullptr},
                                         turn};
const SplineTable<double> double_spline = {
    {filter<i8, double>, filter<u8, double>, filter<i16, double>, filter<u16, double>, filter<i32, double>,
     filter<u32, double>, filter<i64, double>, filter<u64, double>, filter<float, double>, filter<double, double>},
    turn};

}  // namespace fastimg::resampling::FASTIMG_LEVEL
