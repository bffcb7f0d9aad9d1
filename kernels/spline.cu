// B-splines along one axis: a thread block takes a block of `wide` neighbouring lines into shared memory, one thread a
// line runs the recursions there (kernels/fastimg/bspline.cuh), and all of them weigh the coefficients into the outputs
// whose first tap lies in the block. Each sample is read once (its horizon by two blocks) and each output written once,
// neighbours together along whichever axis lies in a row; nothing is divided but once a line.
#include "fastimg/bspline.cuh"
#include "fastimg/entries.cuh"
#include "fastimg/interpolate.cuh"

namespace {

using fastimg::i64;
constexpr int kWarp = 32;

template <class C>
struct Pole {
  C pole, start, end;
  int horizon;  // 0: none
};

// `lines` lines of n samples, `inner` apart; line l starts at (l / inner) * n * inner + l % inner.
struct Lines {
  i64 lines, inner;
  int n, out, taps, wide;
};

// Outputs [low, high) of a line lie inside; a line does where l % period = a * split + b with a and b in their ranges.
// period 0: all do.
struct Inside {
  i64 period, split;
  int a_low, a_high, b_low, b_high, low, high;
  __device__ bool line(i64 l) const {
    if (period == 0) return true;
    const i64 rest = l % period, a = rest / split, b = rest % split;
    return a >= a_low && a < a_high && b >= b_low && b < b_high;
  }
  __device__ bool output(int o) const { return period == 0 || (o >= low && o < high); }
};

// Both recursions of one pole over f[low] to f[high - 1], `pitch` apart; four samples are under way at once.
template <class C>
__device__ void recursion(C* f, int pitch, int low, int high, const Pole<C>& p) {
  const C pole = p.pole;
  C v = fastimg::forward_start(f[low * pitch], p.start);
  f[low * pitch] = v;
  int r = low + 1;
  for (; r + 4 <= high; r += 4) {
    C* const s = f + r * pitch;
    const C a = s[0], b = s[pitch], c = s[2 * pitch], d = s[3 * pitch];
    s[0] = v = fastimg::forward(a, v, pole);
    s[pitch] = v = fastimg::forward(b, v, pole);
    s[2 * pitch] = v = fastimg::forward(c, v, pole);
    s[3 * pitch] = v = fastimg::forward(d, v, pole);
  }
  for (; r < high; ++r) f[r * pitch] = v = fastimg::forward(f[r * pitch], v, pole);
  f[(high - 1) * pitch] = v = fastimg::backward_start(v, p.end);
  low += p.horizon;
  for (r = high - 2; r - 3 >= low; r -= 4) {
    C* const s = f + r * pitch;
    const C a = s[0], b = s[-pitch], c = s[-2 * pitch], d = s[-3 * pitch];
    s[0] = v = fastimg::backward(a, v, pole);
    s[-pitch] = v = fastimg::backward(b, v, pole);
    s[-2 * pitch] = v = fastimg::backward(c, v, pole);
    s[-3 * pitch] = v = fastimg::backward(d, v, pole);
  }
  for (; r >= low; --r) f[r * pitch] = v = fastimg::backward(f[r * pitch], v, pole);
}

template <class T, class U, class C, bool truncate>
__device__ void spline_each(C* shared, const T* in, U* out, const Lines& g, const int* ranges, const int* first,
                            const C* weight, const Pole<C>& one, const Pole<C>& two, const Inside& inside, U outside,
                            const fastimg::Intake<C>& intake, const fastimg::Finish<C>& finish) {
  const int blocks = (g.n + fastimg::kSplineBlock - 1) / fastimg::kSplineBlock, reach = one.horizon + two.horizon;
  const int pitch = g.wide + 1;  // samples of a line fall on different banks
  const i64 groups = (g.lines + g.wide - 1) / g.wide;
  const bool along = g.inner == 1;  // neighbours in memory are samples of a line, else lines
  // line and first sample (output) of a thread, and how far it is to its next ones
  const int line = along ? threadIdx.x / kWarp : threadIdx.x % g.wide;
  const int place = along ? threadIdx.x % kWarp : threadIdx.x / g.wide;
  const int line_step = along ? blockDim.x / kWarp : g.wide, step = along ? kWarp : blockDim.x / g.wide;
  for (i64 work = blockIdx.x; work < groups * blocks; work += gridDim.x) {
    const int block = (int)(work / groups), begin = block * fastimg::kSplineBlock, left = g.n - begin;
    const i64 base = work % groups * g.wide;
    const int most = fastimg::kSplineBlock + g.taps - 1, length = left < most ? left : most;
    const int total = length + 2 * reach, count = g.lines - base < g.wide ? (int)(g.lines - base) : g.wide;
    for (int l = line; l < count; l += line_step) {
      const i64 index = base + l, outer = index / g.inner;
      const T* const from = in + outer * g.n * g.inner + (index - outer * g.inner);
      for (int r = place; r < total; r += step) {
        const C v = (C)from[fastimg::mirrored(begin - reach + r, g.n) * g.inner];
        shared[r * pitch + l] = intake.on ? fastimg::taken(v, intake) : v;
      }
    }
    __syncthreads();
    for (int l = threadIdx.x; l < count; l += blockDim.x) {
      recursion(shared + l, pitch, 0, total, one);
      if (two.horizon) recursion(shared + l, pitch, one.horizon, total - one.horizon, two);
    }
    __syncthreads();
    const int end = ranges[2 * block + 1];
    for (int l = line; l < count; l += line_step) {
      const i64 index = base + l, outer = index / g.inner;
      U* const to = out + outer * g.out * g.inner + (index - outer * g.inner);
      const bool within = inside.line(index);
      for (int o = ranges[2 * block] + place; o < end; o += step) {
        U voxel = outside;
        if (within && inside.output(o)) {
          const C* const c = shared + (reach + first[o] - begin) * pitch + l;
          C v = weight[o] * c[0];
          for (int t = 1; t < g.taps; ++t) v = fastimg::weigh(v, weight[t * g.out + o], c[t * pitch]);
          if (finish.on) v = fastimg::finished(v, finish);
          voxel = fastimg::Store<truncate, U>::from(v);
        }
        to[o * g.inner] = voxel;
      }
    }
    __syncthreads();
  }
}

}  // namespace

#define FASTIMG_SPLINE(name, T, U, C, truncate)                                                                        \
  FASTIMG_WANTED(                                                                                                      \
      spline_##name, extern "C" __global__ void spline_##name(                                                         \
                         const T* in, U* out, long long lines, long long inner, int n, int outputs, int taps,          \
                         int wide, const int* ranges, const int* first, const C* weight, C pole_1, C start_1, C end_1, \
                         int horizon_1, C pole_2, C start_2, C end_2, int horizon_2, long long period,                 \
                         long long split, int a_low, int a_high, int b_low, int b_high, int from, int until,           \
                         U outside, int take, C slope, C intercept, C low, C high, int last, C shift, C scale) {       \
        FASTIMG_DYNAMIC_SHARED(C, shared_##name);                                                                      \
        spline_each<T, U, C, truncate>(shared_##name, in, out, {lines, inner, n, outputs, taps, wide}, ranges, first,  \
                                       weight, {pole_1, start_1, end_1, horizon_1},                                    \
                                       {pole_2, start_2, end_2, horizon_2},                                            \
                                       {period, split, a_low, a_high, b_low, b_high, from, until}, outside,            \
                                       {take, slope, intercept, low, high}, {last, shift, scale});                     \
      })
// Names: input, output, arithmetic; _truncate rounds towards zero.
#define FASTIMG_SMALL(name, T)                                     \
  FASTIMG_SPLINE(name##_float32_float32, T, float, float, false)   \
  FASTIMG_SPLINE(float32_##name##_float32, float, T, float, false) \
  FASTIMG_WIDE(name, T)
#define FASTIMG_WIDE(name, T)                                      \
  FASTIMG_SPLINE(name##_float64_float64, T, double, double, false) \
  FASTIMG_SPLINE(float64_##name##_float64_truncate, double, T, double, true)
FASTIMG_SMALL(int8, signed char)
FASTIMG_SMALL(uint8, unsigned char)
FASTIMG_SMALL(int16, short)
FASTIMG_SMALL(uint16, unsigned short)
FASTIMG_WIDE(int32, int)
FASTIMG_WIDE(uint32, unsigned int)
FASTIMG_WIDE(int64, long long)
FASTIMG_WIDE(uint64, unsigned long long)
FASTIMG_SPLINE(float64_int32_float64, double, int, double, false)
FASTIMG_SPLINE(float64_uint32_float64, double, unsigned int, double, false)
FASTIMG_SPLINE(float64_int64_float64, double, long long, double, false)
FASTIMG_SPLINE(float64_uint64_float64, double, unsigned long long, double, false)
FASTIMG_SPLINE(float32_float32_float32, float, float, float, false)
FASTIMG_SPLINE(float32_float64_float64, float, double, double, false)
FASTIMG_SPLINE(float64_float64_float64, double, double, double, false)
