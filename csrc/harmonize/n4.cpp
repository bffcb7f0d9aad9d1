#include "harmonize/n4.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

namespace fastimg::harmonize {
namespace {

constexpr std::int64_t kGrain = 1 << 15;
constexpr std::int64_t kInner = 1024;  // of a row that is cut among threads
constexpr int kTables = 4;

std::size_t chunks(std::int64_t count) { return static_cast<std::size_t>((count + kGrain - 1) / kGrain); }

// Radix 2, decimation in time, in place.
void transform(double* re, double* im, int size, const double* turns, double sign) {
  for (int i = 1, j = 0; i < size; ++i) {
    int bit = size / 2;
    for (; j & bit; bit /= 2) j ^= bit;
    j |= bit;
    if (i < j) std::swap(re[i], re[j]), std::swap(im[i], im[j]);
  }
  for (int half = 1; half < size; half *= 2)
    for (int begin = 0; begin < size; begin += 2 * half)
      for (int k = 0; k < half; ++k) {
        const int p = begin + k, q = p + half, turn = 2 * k * (size / 2 / half);
        const double c = turns[turn], s = sign * turns[turn + 1];
        const double x = re[q] * c - im[q] * s, y = re[q] * s + im[q] * c;
        re[q] = re[p] - x;
        im[q] = im[p] - y;
        re[p] += x;
        im[p] += y;
      }
}

auto add_of(const N4Table& t, const float*) { return t.add_f32; }
auto add_of(const N4Table& t, const double*) { return t.add_f64; }
auto mix_of(const N4Table& t, const float*) { return t.mix_f32; }
auto mix_of(const N4Table& t, const double*) { return t.mix_f64; }

}  // namespace

void n4_subtract(const float* log, const float* field, const std::uint8_t* mask, float* out, std::int64_t count,
                 float* low, float* high, int threads) {
  const N4Table& table = FASTIMG_PICK(n4_table);
  std::vector<float> lows(chunks(count)), highs(chunks(count));
  cpu::parallel_for(count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
    const auto chunk = static_cast<std::size_t>(begin / kGrain);
    table.subtract(log + begin, field + begin, mask + begin, out + begin, end - begin, &lows[chunk], &highs[chunk]);
  });
  *low = *std::min_element(lows.begin(), lows.end());
  *high = *std::max_element(highs.begin(), highs.end());
}

void n4_histogram(const float* log, const std::uint8_t* mask, std::int64_t count, const N4Bins& bins, double* counts,
                  int threads) {
  const N4Table& table = FASTIMG_PICK(n4_table);
  const std::size_t stride = static_cast<std::size_t>(bins.bins + 1), own = kTables * stride;
  std::vector<double> parts(chunks(count) * own, 0.0);
  cpu::parallel_for(count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
    table.histogram(log + begin, mask + begin, end - begin, bins,
                    parts.data() + static_cast<std::size_t>(begin / kGrain) * own);
  });
  std::fill(counts, counts + bins.bins, 0.0);
  for (std::size_t part = 0; part < chunks(count) * kTables; ++part)
    for (int i = 0; i < bins.bins; ++i) counts[i] += parts[part * stride + static_cast<std::size_t>(i)];
}

void n4_sharpen(const double* counts, const N4Bins& bins, const double* turns, int size, double fwhm, double noise,
                float* expected) {
  const int first = (size - bins.bins) / 2;
  const double slope = bins.slope, width = fwhm / slope, ln2 = 0.69314718055994530942, pi = 3.14159265358979323846;
  std::vector<double> all(4 * static_cast<std::size_t>(size), 0.0);
  double *const re = all.data(), *const im = re + size, *const blur = im + size, *const none = blur + size;
  std::copy(counts, counts + bins.bins, re + first);
  for (int i = 0; i < size; ++i) {
    const double far = std::min(i, size - i);
    blur[i] = std::exp(-(far * far) * (4.0 * ln2 / (width * width))) * (2.0 * std::sqrt(ln2 / pi) / width);
  }
  transform(re, im, size, turns, -1.0);
  transform(blur, none, size, turns, -1.0);
  for (int i = 0; i < size; ++i) {
    const double wiener = blur[i] / (blur[i] * blur[i] + noise);  // the Gaussian is even, its transform real
    re[i] *= wiener;
    im[i] *= wiener;
  }
  transform(re, im, size, turns, 1.0);
  for (int i = 0; i < size; ++i) {
    const double sharp = re[i] > 0.0 ? re[i] / size : 0.0;
    re[i] = (bins.low + (i - first) * slope) * sharp;  // two real signals in one complex one
    im[i] = sharp;
  }
  transform(re, im, size, turns, -1.0);
  for (int i = 0; i < size; ++i) {
    re[i] *= blur[i];
    im[i] *= blur[i];
  }
  transform(re, im, size, turns, 1.0);
  for (int i = 0; i < bins.bins; ++i)
    expected[i] = im[first + i] != 0.0 ? static_cast<float>(re[first + i] / im[first + i]) : 0.0f;
}

void n4_residual(const float* log, const std::uint8_t* mask, std::int64_t count, const N4Bins& bins,
                 const float* expected, float* out, int threads) {
  const N4Table& table = FASTIMG_PICK(n4_table);
  cpu::parallel_for(count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
    table.residual(log + begin, mask + begin, end - begin, bins, expected, out + begin);
  });
}

template <class T>
void n4_reduce(const T* in, const N4Axis& axis, std::int64_t outer, std::int64_t inner, double* out, int threads) {
  const auto add = add_of(FASTIMG_PICK(n4_table), in);
  const std::int64_t cuts = (inner + kInner - 1) / kInner;
  cpu::parallel_for(outer * cuts, 1, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t job = begin; job < end; ++job) {
      const std::int64_t o = job / cuts, from = job % cuts * kInner, width = std::min(kInner, inner - from);
      double* const to = out + o * axis.controls * inner + from;
      const T* const source = in + o * axis.positions * inner + from;
      for (std::int64_t c = 0; c < axis.controls; ++c) std::fill(to + c * inner, to + c * inner + width, 0.0);
      if (inner == 1) {  // no call a value
        for (std::int64_t i = 0; i < axis.positions; ++i)
          for (int k = 0; k < 4; ++k) to[axis.start[i] + k] += axis.weight[4 * i + k] * static_cast<double>(source[i]);
        continue;
      }
      for (std::int64_t i = 0; i < axis.positions; ++i)
        for (int k = 0; k < 4; ++k)
          add(source + i * inner, axis.weight[4 * i + k], to + (axis.start[i] + k) * inner, width);
    }
  });
}

template <class T>
void n4_expand(const double* in, const N4Axis& axis, std::int64_t outer, std::int64_t inner, T* out, int threads) {
  const auto mix = mix_of(FASTIMG_PICK(n4_table), out);
  const std::int64_t rows = std::max<std::int64_t>(1, kGrain / inner);
  cpu::parallel_for(outer * axis.positions, rows, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t o = row / axis.positions, i = row % axis.positions;
      if (inner == 1) {
        const double* const c = in + o * axis.controls + axis.start[i];
        const double* const w = axis.weight + 4 * i;
        out[row] = static_cast<T>(((w[0] * c[0] + w[1] * c[1]) + w[2] * c[2]) + w[3] * c[3]);
        continue;
      }
      mix(in + (o * axis.controls + axis.start[i]) * inner, inner, axis.weight + 4 * i, out + row * inner, inner);
    }
  });
}

float n4_change(const float* before, const float* after, const std::uint8_t* mask, std::int64_t count) {
  const N4Table& table = FASTIMG_PICK(n4_table);
  constexpr int kBlock = 1024;
  alignas(64) float a[kBlock], b[kBlock], ratio[kBlock];
  float mu = 0.0f, sigma = 0.0f, n = 0.0f;
  std::int64_t at = 0;
  while (at < count) {
    int size = 0;
    for (; at < count && size < kBlock; ++at) {
      a[size] = before[at];
      b[size] = after[at];
      size += mask[at] != 0;
    }
    table.ratios(a, b, ratio, size);
    for (int i = 0; i < size; ++i) {
      n += 1.0f;
      const double number = n;
      const float apart = ratio[i] - mu;
      const double square = static_cast<double>(apart * apart) * (number - 1.0) / number;  // 0 for the first
      sigma = static_cast<float>(static_cast<double>(sigma) + square);
      mu = static_cast<float>(static_cast<double>(mu) * (1.0 - 1.0 / number) + static_cast<double>(ratio[i] / n));
    }
  }
  return static_cast<float>(std::sqrt(static_cast<double>(sigma) / (static_cast<double>(n) - 1.0))) / mu;
}

void n4_correct(const float* image, const float* log_field, float* corrected, float* field, std::int64_t count,
                int threads) {
  const N4Table& table = FASTIMG_PICK(n4_table);
  cpu::parallel_for(count, kGrain, threads, [&](std::int64_t begin, std::int64_t end) {
    table.correct(image + begin, log_field + begin, corrected + begin, field + begin, end - begin);
  });
}

template void n4_reduce(const float*, const N4Axis&, std::int64_t, std::int64_t, double*, int);
template void n4_reduce(const double*, const N4Axis&, std::int64_t, std::int64_t, double*, int);
template void n4_expand(const double*, const N4Axis&, std::int64_t, std::int64_t, float*, int);
template void n4_expand(const double*, const N4Axis&, std::int64_t, std::int64_t, double*, int);

}  // namespace fastimg::harmonize
