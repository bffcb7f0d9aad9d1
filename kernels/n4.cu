// N4: one iteration is eight launches and no wait. Atoms: fastimg/n4.cuh, whose arithmetic the CPU's loops share.
#include "fastimg/n4.cuh"

using fastimg::i64;
using fastimg::u64;
using fastimg::u8;

namespace {

constexpr double kOne = 4294967296.0;  // a voxel's share of a bin in whole numbers of 2^-32: sums without float atomics
constexpr int kMost = 512;             // points of a Fourier transform

// A control point's weighted sum along an axis: positions first[c] .. last[c] - 1 touch it; in order of position.
template <class Value>
__device__ double gathered(Value value, const int* start, const double* weight, const int* first, const int* last,
                           int control) {
  double sum = 0;
  for (int i = first[control]; i < last[control]; ++i) sum += weight[4 * i + control - start[i]] * value(i);
  return sum;
}

// Least and greatest of the partial results of all blocks, by all threads of this one.
__device__ void ends(const float* part, int parts, float* low, float* high) {
  __shared__ float a[256], b[256];
  float least = part[0], most = part[1];
  for (int i = threadIdx.x; i < parts; i += blockDim.x) {
    least = part[2 * i] < least ? part[2 * i] : least;
    most = part[2 * i + 1] > most ? part[2 * i + 1] : most;
  }
  a[threadIdx.x] = least;
  b[threadIdx.x] = most;
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) {
      a[threadIdx.x] = a[threadIdx.x + half] < a[threadIdx.x] ? a[threadIdx.x + half] : a[threadIdx.x];
      b[threadIdx.x] = b[threadIdx.x + half] > b[threadIdx.x] ? b[threadIdx.x + half] : b[threadIdx.x];
    }
  }
  __syncthreads();
  *low = a[0];
  *high = b[0];
  __syncthreads();
}

__device__ double mixed(const double* in, i64 stride, const double* w) {
  return ((w[0] * in[0] + w[1] * in[stride]) + w[2] * in[2 * stride]) + w[3] * in[3 * stride];
}

}  // namespace

// out (outer, positions, inner) = the spline of in (outer, controls, inner) along an axis.
extern "C" __global__ void expand(const double* in, const int* start, const double* weight, long long outer,
                                  int positions, int controls, long long inner, double* out) {
  const i64 count = outer * positions * inner, step = (i64)gridDim.x * blockDim.x;
  for (i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += step) {
    const i64 x = at % inner, o = at / inner / positions;
    const int i = (int)(at / inner % positions);
    out[at] = mixed(in + (o * controls + start[i]) * inner + x, inner, weight + 4 * i);
  }
}

// The last axis of the spline: field, log - field, and each block's least and greatest of it inside the mask.
extern "C" __global__ void subtract(const double* in, const int* start, const double* weight, int positions,
                                    long long inner, const float* log, const unsigned char* mask, float* field,
                                    float* out, float* part) {
  __shared__ float a[256], b[256];
  const i64 count = positions * inner, step = (i64)gridDim.x * blockDim.x;
  float low = 3.402823466e38f, high = -3.402823466e38f;
  for (i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += step) {
    const int i = (int)(at / inner);
    const float f = (float)mixed(in + start[i] * inner + at % inner, inner, weight + 4 * i);
    const float v = log[at] - f;
    field[at] = f;
    out[at] = v;
    if (!mask[at]) continue;
    low = v < low ? v : low;
    high = v > high ? v : high;
  }
  a[threadIdx.x] = low;
  b[threadIdx.x] = high;
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) {
      a[threadIdx.x] = a[threadIdx.x + half] < a[threadIdx.x] ? a[threadIdx.x + half] : a[threadIdx.x];
      b[threadIdx.x] = b[threadIdx.x + half] > b[threadIdx.x] ? b[threadIdx.x + half] : b[threadIdx.x];
    }
  }
  if (threadIdx.x == 0) {
    part[2 * blockIdx.x] = a[0];
    part[2 * blockIdx.x + 1] = b[0];
  }
}

extern "C" __global__ void histogram(const float* log, const unsigned char* mask, long long count, const float* part,
                                     int parts, int bins, unsigned long long* counts) {
  __shared__ u64 table[kMost];
  float low, high;
  ends(part, parts, &low, &high);
  const float slope = (high - low) / (float)(bins - 1);
  if (!(slope > 0.0f)) return;
  for (int i = threadIdx.x; i < bins; i += blockDim.x) table[i] = 0;
  __syncthreads();
  const i64 step = (i64)gridDim.x * blockDim.x;
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
    if (!mask[i]) continue;
    const float at = fastimg::n4_position(log[i], low, slope);
    const int bin = (int)at;
    const float share = at - (float)bin;
    if (share == 0.0f) {
      atomicAdd(table + bin, (u64)kOne);
    } else if (bin < bins - 1) {
      const u64 next = (u64)((double)share * kOne + 0.5);
      atomicAdd(table + bin, (u64)kOne - next);
      atomicAdd(table + bin + 1, next);
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < bins; i += blockDim.x)
    if (table[i]) atomicAdd(counts + i, table[i]);
}

namespace {

// Radix 2, decimation in time, in place; turns: cos and sin of 2 pi k / size for k below size / 2.
__device__ void transform(double* re, double* im, int size, int bits, const double* turns, double sign) {
  __syncthreads();
  for (int i = threadIdx.x; i < size; i += blockDim.x) {
    int j = 0;
    for (int b = 0; b < bits; ++b) j |= (i >> b & 1) << (bits - 1 - b);
    if (j <= i) continue;
    const double x = re[i], y = im[i];
    re[i] = re[j];
    im[i] = im[j];
    re[j] = x;
    im[j] = y;
  }
  for (int half = 1; half < size; half *= 2) {
    __syncthreads();
    for (int k = threadIdx.x; k < size / 2; k += blockDim.x) {
      const int within = k % half, p = k / half * 2 * half + within, q = p + half;
      const double c = turns[2 * (within * (size / 2 / half))], s = sign * turns[2 * (within * (size / 2 / half)) + 1];
      const double x = re[q] * c - im[q] * s, y = re[q] * s + im[q] * c;
      re[q] = re[p] - x;
      im[q] = im[p] - y;
      re[p] += x;
      im[p] += y;
    }
  }
  __syncthreads();
}

}  // namespace

// Counts -> the expected value of each bin after Wiener deconvolution with a Gaussian; one block. Counts are cleared.
extern "C" __global__ void sharpen(unsigned long long* counts, const float* part, int parts, int bins, int size,
                                   int bits, const double* turns, double fwhm, double noise, float* expected) {
  __shared__ double re[kMost], im[kMost], blur[kMost], none[kMost];
  float low, high;
  ends(part, parts, &low, &high);
  const float slope = (high - low) / (float)(bins - 1);
  const int first = (size - bins) / 2;
  const double width = fwhm / (double)slope, ln2 = 0.69314718055994530942, pi = 3.14159265358979323846;
  for (int i = threadIdx.x; i < size; i += blockDim.x) {
    const int bin = i - first;
    const double far = (double)(i < size - i ? i : size - i);
    re[i] = bin >= 0 && bin < bins ? (double)counts[bin] / kOne : 0.0;
    blur[i] = exp(-(far * far) * (4.0 * ln2 / (width * width))) * (2.0 * sqrt(ln2 / pi) / width);
    im[i] = none[i] = 0.0;
  }
  transform(re, im, size, bits, turns, -1.0);
  transform(blur, none, size, bits, turns, -1.0);
  for (int i = threadIdx.x; i < size; i += blockDim.x) {
    const double wiener = blur[i] / (blur[i] * blur[i] + noise);  // the Gaussian is even, its transform real
    re[i] *= wiener;
    im[i] *= wiener;
  }
  transform(re, im, size, bits, turns, 1.0);
  for (int i = threadIdx.x; i < size; i += blockDim.x) {
    const double sharp = re[i] > 0.0 ? re[i] / size : 0.0;
    re[i] = ((double)low + (double)(i - first) * (double)slope) * sharp;  // two real signals in one complex one
    im[i] = sharp;
  }
  transform(re, im, size, bits, turns, -1.0);
  for (int i = threadIdx.x; i < size; i += blockDim.x) {
    re[i] *= blur[i];
    im[i] *= blur[i];
  }
  transform(re, im, size, bits, turns, 1.0);
  for (int i = threadIdx.x; i < bins; i += blockDim.x) {
    expected[i] = im[first + i] != 0.0 ? (float)(re[first + i] / im[first + i]) : 0.0f;
    counts[i] = 0;
  }
}

// What sharpening takes from each voxel, gathered along the first axis: out (controls, inner).
extern "C" __global__ void residual(const float* log, const unsigned char* mask, const float* confidence, int weighted,
                                    const float* part, int parts, const float* expected, int bins, const int* start,
                                    const double* weight, const int* first, const int* last, int controls,
                                    long long inner, double* out) {
  __shared__ float sharp[kMost];
  float low, high;
  ends(part, parts, &low, &high);
  const float slope = (high - low) / (float)(bins - 1);
  for (int i = threadIdx.x; i < bins; i += blockDim.x) sharp[i] = expected[i];
  __syncthreads();
  const bool any = slope > 0.0f;  // else the field explains everything
  const i64 count = controls * inner, step = (i64)gridDim.x * blockDim.x;
  for (i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += step) {
    const i64 x = at % inner;
    const auto value = [&](int i) {
      const i64 voxel = i * inner + x;
      if (!any || !mask[voxel]) return 0.0;
      const float v = log[voxel];
      const float rest = v - fastimg::n4_expected(fastimg::n4_position(v, low, slope), sharp, bins);
      return (double)(weighted ? rest * confidence[voxel] : rest);
    };
    out[at] = gathered(value, start, weight, first, last, (int)(at / inner));
  }
}

namespace {

template <class T>
__device__ void reduce_each(const T* in, const int* start, const double* weight, const int* first, const int* last,
                            i64 outer, int positions, int controls, i64 inner, double* out) {
  const i64 count = outer * controls * inner, step = (i64)gridDim.x * blockDim.x;
  for (i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += step) {
    const T* const line = in + at / inner / controls * positions * inner + at % inner;
    const auto value = [&](int i) { return (double)line[i * inner]; };
    out[at] = gathered(value, start, weight, first, last, (int)(at / inner % controls));
  }
}

}  // namespace

// out (outer, controls, inner) = the axis' weights applied to in (outer, positions, inner).
extern "C" __global__ void reduce_float32(const float* in, const int* start, const double* weight, const int* first,
                                          const int* last, long long outer, int positions, int controls,
                                          long long inner, double* out) {
  reduce_each(in, start, weight, first, last, outer, positions, controls, inner, out);
}
extern "C" __global__ void reduce_float64(const double* in, const int* start, const double* weight, const int* first,
                                          const int* last, long long outer, int positions, int controls,
                                          long long inner, double* out) {
  reduce_each(in, start, weight, first, last, outer, positions, controls, inner, out);
}

// The last axis of the fit: lattice += gathered / share.
extern "C" __global__ void update(const double* in, const int* start, const double* weight, const int* first,
                                  const int* last, long long outer, int positions, int controls, const double* share,
                                  double* lattice) {
  const i64 count = outer * controls, step = (i64)gridDim.x * blockDim.x;
  for (i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += step) {
    if (!(share[at] > 0.0)) continue;
    const double* const line = in + at / controls * positions;
    const auto value = [&](int i) { return line[i]; };
    lattice[at] += gathered(value, start, weight, first, last, (int)(at % controls)) / share[at];
  }
}

// The last axis of the full grid: field = exp(spline), corrected = image / field.
extern "C" __global__ void finish(const double* in, const int* start, const double* weight, int positions,
                                  long long inner, const float* image, float* corrected, float* field) {
  const i64 count = positions * inner, step = (i64)gridDim.x * blockDim.x;
  for (i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x; at < count; at += step) {
    const int i = (int)(at / inner);
    const float log_field = (float)mixed(in + start[i] * inner + at % inner, inner, weight + 4 * i);
    field[at] = (float)fastimg::n4_exp((double)log_field);
    corrected[at] = image[at] / field[at];
  }
}
