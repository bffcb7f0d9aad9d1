// Included once in each level's region: no include guard, no standard header.
#include "fastimg/n4.cuh"

namespace fastimg::harmonize::FASTIMG_LEVEL {
namespace {

void subtract(const float* __restrict log, const float* __restrict field, const std::uint8_t* __restrict mask,
              float* __restrict out, std::int64_t count, float* low, float* high) {
  constexpr int kLanes = 16;
  float a[kLanes], b[kLanes];
  for (int l = 0; l < kLanes; ++l) {
    a[l] = __builtin_inff();
    b[l] = -__builtin_inff();
  }
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int l = 0; l < kLanes; ++l) {
      const float v = log[i + l] - field[i + l];
      out[i + l] = v;
      const float x = mask[i + l] ? v : __builtin_inff(), y = mask[i + l] ? v : -__builtin_inff();
      a[l] = x < a[l] ? x : a[l];
      b[l] = y > b[l] ? y : b[l];
    }
  for (; i < count; ++i) {
    const float v = log[i] - field[i];
    out[i] = v;
    if (!mask[i]) continue;
    a[0] = v < a[0] ? v : a[0];
    b[0] = v > b[0] ? v : b[0];
  }
  for (int l = 1; l < kLanes; ++l) {
    a[0] = a[l] < a[0] ? a[l] : a[0];
    b[0] = b[l] > b[0] ? b[l] : b[0];
  }
  *low = a[0];
  *high = b[0];
}

// Four tables in turn; the last bin's share of a next one is dropped, as ITK does.
void histogram(const float* __restrict log, const std::uint8_t* __restrict mask, std::int64_t count, const N4Bins& bins,
               double* __restrict counts) {
  constexpr int kBlock = 512, kTables = 4;
  const int size = bins.bins;
  alignas(64) float at[kBlock];
  double* const tables = counts;  // kTables x (size + 1)
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const int n = static_cast<int>(count - begin < kBlock ? count - begin : kBlock);
    for (int i = 0; i < n; ++i) at[i] = fastimg::n4_position(log[begin + i], bins.low, bins.slope);
    for (int i = 0; i < n; ++i) {
      if (!mask[begin + i]) continue;
      const int bin = static_cast<int>(at[i]);
      const float share = at[i] - static_cast<float>(bin);
      double* const table = tables + (i & (kTables - 1)) * (size + 1);
      if (share == 0.0f) {
        table[bin] += 1.0;
      } else if (bin < size - 1) {
        table[bin] += static_cast<double>(1.0f - share);
        table[bin + 1] += static_cast<double>(share);
      }
    }
  }
}

void residual(const float* __restrict log, const std::uint8_t* __restrict mask, std::int64_t count, const N4Bins& bins,
              const float* __restrict expected, float* __restrict out) {
  const float low = bins.low, slope = bins.slope;
  const int size = bins.bins;
  for (std::int64_t i = 0; i < count; ++i) {
    const float v = mask[i] ? log[i] : low;
    const float sharp = fastimg::n4_expected(fastimg::n4_position(v, low, slope), expected, size);
    out[i] = mask[i] ? v - sharp : 0.0f;
  }
}

template <class T>
void add(const T* __restrict in, double weight, double* __restrict out, std::int64_t width) {
  for (std::int64_t i = 0; i < width; ++i) out[i] += weight * static_cast<double>(in[i]);
}

template <class T>
void mix(const double* __restrict in, std::int64_t stride, const double* __restrict weight, T* __restrict out,
         std::int64_t width) {
  const double a = weight[0], b = weight[1], c = weight[2], d = weight[3];
  for (std::int64_t i = 0; i < width; ++i)
    out[i] = static_cast<T>(((a * in[i] + b * in[i + stride]) + c * in[i + 2 * stride]) + d * in[i + 3 * stride]);
}

void ratios(const float* __restrict before, const float* __restrict after, float* __restrict ratio,
            std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i)
    ratio[i] = static_cast<float>(fastimg::n4_exp(static_cast<double>(before[i] - after[i])));
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
    subtract, histogram, residual, add<float>, add<double>, mix<float>, mix<double>, ratios, correct,
};

}  // namespace fastimg::harmonize::FASTIMG_LEVEL
