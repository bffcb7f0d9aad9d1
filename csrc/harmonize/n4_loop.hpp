// Included once in each level's region: no include guard, no standard header.
#include "fastimg/n4.cuh"

namespace fastimg::harmonize::FASTIMG_LEVEL {
namespace {

typedef float Lanes __attribute__((vector_size(4 * kN4Block), aligned(4), may_alias));
constexpr int kDoubles = kN4Block / 2;
typedef double Doubles __attribute__((vector_size(8 * kDoubles), aligned(8), may_alias));

// count: whole blocks. A comparison with NaN is false.
void subtract(const float* __restrict log, const float* __restrict field, float* __restrict out, std::int64_t count,
              float* __restrict ends) {
  Lanes *const low = reinterpret_cast<Lanes*>(ends), *const high = low + 1;
  Lanes a = *low, b = *high;
  for (std::int64_t i = 0; i < count; i += kN4Block) {
    const Lanes v = *reinterpret_cast<const Lanes*>(log + i) - *reinterpret_cast<const Lanes*>(field + i);
    *reinterpret_cast<Lanes*>(out + i) = v;
    a = v < a ? v : a;
    b = v > b ? v : b;
  }
  *low = a;
  *high = b;
}

// Each voxel's place among the bins; half a bin beyond the last for one that does not count. Loops of one choice each:
// with two, compilers branch.
void positions(const float* __restrict log, std::int64_t count, const N4Bins& bins, float* __restrict at) {
  const float low = bins.low, slope = bins.slope, none = static_cast<float>(bins.bins) - 0.5f;
  for (std::int64_t i = 0; i < count; ++i) {
    const float place = fastimg::n4_position(log[i], low, slope);
    at[i] = place == place ? place : none;
  }
}

// Tables in turn, so that no sum waits for the one before; a bin's two shares lie together. The last bin's share of
// a next one is dropped, as ITK does.
void histogram(const float* __restrict log, std::int64_t count, const N4Bins& bins, double* __restrict tables,
               double* __restrict counts) {
  constexpr int kBlock = 512;
  const int size = bins.bins, last = size - 1;
  alignas(64) std::int32_t pair[kBlock];
  alignas(64) float share[kBlock];
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const int n = static_cast<int>(count - begin < kBlock ? count - begin : kBlock);
    positions(log + begin, n, bins, share);
    for (int i = 0; i < n; ++i) {
      const std::int32_t b = static_cast<std::int32_t>(share[i]);
      share[i] -= static_cast<float>(b);
      const bool kept = (b < last) | (share[i] == 0.0f);
      pair[i] = 2 * ((i & (kN4Tables - 1)) * (size + 1) + (kept ? b : size));  // bin `size` is read by nobody
    }
    for (int i = 0; i < n; ++i) {
      tables[pair[i]] += static_cast<double>(1.0f - share[i]);
      tables[pair[i] + 1] += static_cast<double>(share[i]);
    }
  }
  for (int b = 0; b < size; ++b) {
    counts[b] = 0.0;
    for (int t = 0; t < kN4Tables; ++t) {
      const double* const shares = tables + 2 * (t * (size + 1) + b);
      counts[b] += b ? shares[0] + shares[-1] : shares[0];
    }
  }
}

// value and step of each bin: fastimg::n4_expected without its choice.
void residual(const float* __restrict log, std::int64_t count, const N4Bins& bins, const float* __restrict value,
              const float* __restrict step, float* __restrict out) {
  positions(log, count, bins, out);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int32_t bin = static_cast<std::int32_t>(out[i]);
    const float rest = log[i] - (value[bin] + step[bin] * (out[i] - static_cast<float>(bin)));
    out[i] = rest == rest ? rest : 0.0f;
  }
}

void spread(const float* __restrict in, const double* __restrict weight, double* __restrict out, std::int64_t stride,
            std::int64_t width) {
  const double a = weight[0], b = weight[1], c = weight[2], d = weight[3];
  double* const __restrict second = out + stride, * const __restrict third = out + 2 * stride, * const __restrict fourth = out + 3 * stride;
  for (std::int64_t i = 0; i < width; ++i) {
    const double v = static_cast<double>(in[i]);
    out[i] += a * v;
    second[i] += b * v;
    third[i] += c * v;
    fourth[i] += d * v;
  }
}

// Whole blocks; a block's sum stays in registers while its rows are added.
template <int n>
std::int64_t sum_blocks(const double* __restrict in, std::int64_t stride, const double* __restrict weight,
                        std::int64_t rows, double* __restrict out, std::int64_t at, std::int64_t width) {
  for (; at + n * kDoubles <= width; at += n * kDoubles) {
    Doubles total[n] = {};
    for (std::int64_t row = 0; row < rows; ++row)
      for (int i = 0; i < n; ++i)
        total[i] += weight[row] * *reinterpret_cast<const Doubles*>(in + row * stride + at + i * kDoubles);
    for (int i = 0; i < n; ++i) *reinterpret_cast<Doubles*>(out + at + i * kDoubles) = total[i];
  }
  return at;
}

void sum(const double* __restrict in, std::int64_t stride, const double* __restrict weight, std::int64_t rows,
         double* __restrict out, std::int64_t width) {
  const std::int64_t done = sum_blocks<4>(in, stride, weight, rows, out, 0, width);
  sum_blocks<2>(in, stride, weight, rows, out, done, width);
}

void cells(const double* __restrict in, std::int64_t stride, std::int64_t rows, const N4Axis& x,
           double* __restrict out) {
  for (std::int64_t i = 0; i < x.positions; ++i)  // rows inside: no sum waits for the one before
    for (std::int64_t row = 0; row < rows; ++row) {
      double* const to = out + row * x.controls + x.start[i];
      const double value = in[row * stride + i];
      for (int k = 0; k < 4; ++k) to[k] += x.weight[4 * i + k] * value;
    }
}

template <class T>
void mix(const double* __restrict in, std::int64_t stride, const double* __restrict weight, T* __restrict out,
         std::int64_t width) {
  const double a = weight[0], b = weight[1], c = weight[2], d = weight[3];
  for (std::int64_t i = 0; i < width; ++i)
    out[i] = static_cast<T>(((a * in[i] + b * in[i + stride]) + c * in[i + 2 * stride]) + d * in[i + 3 * stride]);
}

// One stage of the transform: values `half` apart.
void stage(std::int64_t half, std::int64_t size, const double* __restrict turns, double sign, double* __restrict re,
           double* __restrict im) {
  const double* const __restrict c = turns + 2 * (half - 1), * const __restrict s = c + half;
  for (std::int64_t begin = 0; begin < size; begin += 2 * half) {
    double* const __restrict x = re + begin, * const __restrict y = im + begin;
    double* const __restrict far_x = x + half, * const __restrict far_y = y + half;
    for (std::int64_t k = 0; k < half; ++k) {
      const double sine = sign * s[k];
      const double real = far_x[k] * c[k] - far_y[k] * sine, imag = far_x[k] * sine + far_y[k] * c[k];
      far_x[k] = x[k] - real;
      far_y[k] = y[k] - imag;
      x[k] += real;
      y[k] += imag;
    }
  }
}

const Doubles& lanes(const double* at) { return *reinterpret_cast<const Doubles*>(at); }
Doubles& lanes(double* at) { return *reinterpret_cast<Doubles*>(at); }

// That of `half`, 8 or more, and the next one, while their values are in registers.
void two_stages(std::int64_t half, std::int64_t size, const double* turns, double sign, double* re, double* im) {
  for (std::int64_t begin = 0; begin < size; begin += 4 * half)
    for (std::int64_t k = 0; k < half; k += kDoubles) {
      const double* const t = turns + 2 * (half - 1) + k;
      const Doubles c0 = lanes(t), c1 = lanes(t + 2 * half), c2 = lanes(t + 3 * half);
      const Doubles s0 = sign * lanes(t + half), s1 = sign * lanes(t + 4 * half), s2 = sign * lanes(t + 5 * half);
      double *const x = re + begin + k, *const y = im + begin + k;
      const Doubles x0 = lanes(x), x1 = lanes(x + half), x2 = lanes(x + 2 * half), x3 = lanes(x + 3 * half);
      const Doubles y0 = lanes(y), y1 = lanes(y + half), y2 = lanes(y + 2 * half), y3 = lanes(y + 3 * half);
      const Doubles px = x1 * c0 - y1 * s0, py = x1 * s0 + y1 * c0, qx = x3 * c0 - y3 * s0, qy = x3 * s0 + y3 * c0;
      const Doubles ax = x0 + px, ay = y0 + py, bx = x0 - px, by = y0 - py;
      const Doubles cx = x2 + qx, cy = y2 + qy, dx = x2 - qx, dy = y2 - qy;
      const Doubles ex = cx * c1 - cy * s1, ey = cx * s1 + cy * c1, fx = dx * c2 - dy * s2, fy = dx * s2 + dy * c2;
      lanes(x) = ax + ex, lanes(x + half) = bx + fx, lanes(x + 2 * half) = ax - ex, lanes(x + 3 * half) = bx - fx;
      lanes(y) = ay + ey, lanes(y + half) = by + fy, lanes(y + 2 * half) = ay - ey, lanes(y + 3 * half) = by - fy;
    }
}

// Fourier transform of (from_re, from_im), radix 2, decimation in time; order: the places with their bits reversed.
void transform(const double* __restrict from_re, const double* __restrict from_im, const std::int32_t* __restrict order,
               int size, const double* __restrict turns, double sign, double* __restrict re, double* __restrict im) {
  for (int at = 0; at < size; at += 4) {  // the first two stages: turns of 1 and of sign x i
    const std::int32_t* const o = order + at;
    const double a = from_re[o[0]] + from_re[o[1]], b = from_re[o[0]] - from_re[o[1]];
    const double c = from_re[o[2]] + from_re[o[3]], d = sign * (from_re[o[2]] - from_re[o[3]]);
    const double e = from_im[o[0]] + from_im[o[1]], f = from_im[o[0]] - from_im[o[1]];
    const double g = from_im[o[2]] + from_im[o[3]], h = sign * (from_im[o[2]] - from_im[o[3]]);
    double *const x = re + at, *const y = im + at;
    x[0] = a + c, x[1] = b - h, x[2] = a - c, x[3] = b + h;
    y[0] = e + g, y[1] = f + d, y[2] = e - g, y[3] = f - d;
  }
  stage(4, size, turns, sign, re, im);
  std::int64_t half = 8;
  if (__builtin_ctz(static_cast<unsigned>(size)) % 2 == 0) {
    if (half < size) stage(half, size, turns, sign, re, im);
    half = 16;
  }
  for (; half < size; half *= 4) two_stages(half, size, turns, sign, re, im);
}

void ratio(const float* __restrict before, const float* __restrict after, const std::uint8_t* __restrict mask,
           float* __restrict out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = static_cast<float>(fastimg::n4_exp(static_cast<double>(before[i] - after[i])));
    out[i] = mask[i] ? value : __builtin_nanf("");
  }
}

void correct(const float* __restrict image, const float* __restrict log_field, float* __restrict corrected,
             float* __restrict field, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    field[i] = static_cast<float>(fastimg::n4_exp(static_cast<double>(log_field[i])));
    corrected[i] = image[i] / field[i];
  }
}

}  // namespace

extern const N4Table n4_table;
const N4Table n4_table = {
    subtract, histogram, residual, spread, sum, cells, mix<float>, mix<double>, transform, ratio, correct,
};

}  // namespace fastimg::harmonize::FASTIMG_LEVEL
